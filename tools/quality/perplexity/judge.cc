#include "tools/quality/perplexity/judge.h"

#include <algorithm>
#include <cmath>

#include "tools/generation/likelihood.h"
#include "tools/quality/perplexity/divergence.h"
#include "tools/quality/statistics.h"

namespace quern::tools {
namespace {

double negative_log_likelihood(std::span<const float> logits, std::int32_t id) {
  return log_sum_exp(logits) - static_cast<double>(logits[static_cast<std::size_t>(id)]);
}

/// Judges one window's tokens as their logits come.
class WindowJudge {
 public:
  WindowJudge(const JudgedText& text, const Window& window, std::span<const float> reference,
              Judgement& judgement)
      : text_(&text),
        reference_(reference),
        judgement_(&judgement),
        next_(window.first_scored),
        end_(window.end) {}

  /// Takes the next rows; returns those of judged tokens: the last of all stands before a token
  /// beyond the window.
  std::span<const float> take(std::span<const float> rows) {
    const auto vocab_size = static_cast<std::size_t>(text_->vocab_size);
    const std::size_t count = std::min(rows.size() / vocab_size, end_ - next_);
    for (std::size_t i = 0; i < count; ++i) {
      take_row(rows.subspan(i * vocab_size, vocab_size), text_->ids[next_++]);
    }
    return rows.first(count * vocab_size);
  }

 private:
  void take_row(std::span<const float> logits, std::int32_t id) {
    judgement_->nll.push_back(negative_log_likelihood(logits, id));
    const auto expected = reference_.first(reference_.empty() ? 0 : logits.size());
    judgement_->num_nonfinite += has_nonfinite(logits) || has_nonfinite(expected) ? 1 : 0;
    if (expected.empty()) return;
    reference_ = reference_.subspan(logits.size());
    judgement_->reference_nll.push_back(negative_log_likelihood(expected, id));
    const Divergence found = divergence(expected, logits);
    judgement_->kl.push_back(found.kl);
    judgement_->num_same_top += static_cast<std::size_t>(found.same_top);
  }

  const JudgedText* text_;
  std::span<const float> reference_;
  Judgement* judgement_;
  std::size_t next_;
  std::size_t end_;
};

}  // namespace

double Judgement::mean_nll() const { return mean_of(nll); }
double Judgement::perplexity() const { return std::exp(mean_nll()); }
double Judgement::reference_mean_nll() const { return mean_of(reference_nll); }
double Judgement::reference_perplexity() const { return std::exp(reference_mean_nll()); }
double Judgement::perplexity_increase() const {
  return 100 * std::expm1(mean_nll() - reference_mean_nll());
}
double Judgement::mean_kl() const { return mean_of(kl); }
double Judgement::top1_agreement() const {
  return static_cast<double>(num_same_top) / static_cast<double>(kl.size());
}

Judgement judge(Engine& engine, const JudgedText& text, const JudgeOptions& options) {
  Judgement judgement;
  for (const Window& window : sliding_windows(text.ids.size(), text.settings)) {
    std::span<const float> reference;
    if (options.reference != nullptr) reference = options.reference->rows(window);
    WindowJudge window_judge(text, window, reference, judgement);
    const auto ids = std::span(text.ids).subspan(window.begin, window.end - window.begin);
    engine.logits(ids, window.first_scored - 1 - window.begin, [&](std::span<const float> rows) {
      const auto judged = window_judge.take(rows);
      if (options.writer != nullptr) options.writer->add(judged);
    });
    if (!options.on_window(window)) return judgement;
  }
  judgement.complete = true;
  return judgement;
}

}  // namespace quern::tools
