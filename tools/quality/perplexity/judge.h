#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "quern/engine.h"
#include "tools/quality/perplexity/reference_logits.h"

namespace quern::tools {

/// What a model and perhaps a reference make of a text, by judged token.
struct Judgement {
  std::vector<double> nll;            ///< -log p(token), in nats
  std::vector<double> reference_nll;  ///< empty without a reference
  std::vector<double> kl;             ///< Divergence::kl; empty without a reference
  std::size_t num_same_top = 0;
  std::size_t num_nonfinite = 0;  ///< tokens with NaN or +inf among ours or the reference's logits
  bool complete = false;          ///< false after an interruption: of the first windows only

  double mean_nll() const;
  double perplexity() const;
  double reference_mean_nll() const;
  double reference_perplexity() const;
  /// How much larger than the reference's the perplexity is, in percent.
  double perplexity_increase() const;
  double mean_kl() const;
  double top1_agreement() const;
};

/// What to do besides judging.
struct JudgeOptions {
  ReferenceLogits* reference = nullptr;  ///< none if null
  LogitsWriter* writer = nullptr;        ///< none if null
  /// Called with each window that is done; returns false to stop.
  std::function<bool(const Window&)> on_window;
};

/// Runs the text's windows through the engine.
Judgement judge(Engine& engine, const JudgedText& text, const JudgeOptions& options);

}  // namespace quern::tools
