#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "quern/request.h"

namespace quern::tools {

/// How an answer is shown: what it says or, without a tokenizer, its ids between commas.
enum class AnswerForm { text, ids };

/// Prints answers on standard output: one prompt's text as it comes, several prompts' in order,
/// each as soon as it and all before it are finished, after lines of `Input: "…"` and `Output:
/// "…"`. Several answers to a prompt are printed that way, too, with an Output line each.
class AnswerPrinter {
 public:
  /// `prompts` are what the Input lines show, and with `echoes` what stands in front of the
  /// answers; it must outlive this. `streams`: whether the text of a single prompt is printed as it
  /// comes; not with several answers.
  explicit AnswerPrinter(const std::vector<std::string>& prompts,
                         AnswerForm form = AnswerForm::text, bool streams = true,
                         bool echoes = false)
      : prompts_(&prompts), form_(form), streams_(streams && prompts.size() == 1), echoes_(echoes) {
    finished_.resize(prompts.size());
  }

  void on_update(const Update& update);
  void on_result(std::size_t index, const Result& result);

 private:
  std::string output_lines(std::size_t index, const Result& result) const;

  const std::vector<std::string>* prompts_;
  AnswerForm form_;
  bool streams_;
  bool echoes_;
  std::vector<std::optional<std::string>> finished_;  ///< texts, by prompt
  std::size_t num_printed_ = 0;
  bool at_start_ = true;  ///< nothing is printed yet
};

}  // namespace quern::tools
