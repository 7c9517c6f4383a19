#include "tools/generation/answers.h"

#include <fmt/format.h>

#include <utility>

#include "tools/output/console.h"

namespace quern::tools {
namespace {

std::string joined(const std::vector<std::int32_t>& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

}  // namespace

void AnswerPrinter::on_update(const Update& update) {
  if (!streams_) return;
  if (at_start_ && echoes_) {
    write_stdout(prompts_->front());
    at_start_ = false;
  }
  if (form_ == AnswerForm::text) {
    write_stdout(update.text);
  } else if (!update.token_ids.empty()) {
    if (!std::exchange(at_start_, false)) write_stdout(",");
    write_stdout(joined(update.token_ids));
  }
}

std::string AnswerPrinter::output_lines(std::size_t index, const Result& result) const {
  const auto line = [&](const auto& answer) {
    std::string text = form_ == AnswerForm::text ? answer.text : joined(answer.output_ids);
    if (echoes_) {
      const char* between = form_ == AnswerForm::ids && !answer.output_ids.empty() ? "," : "";
      text.insert(0, (*prompts_)[index] + between);
    }
    return fmt::format("Output: \"{}\"\n", text);
  };
  if (result.sequences.empty()) return line(result);
  std::string lines;
  for (const SequenceResult& answer : result.sequences) lines += line(answer);
  return lines;
}

void AnswerPrinter::on_result(std::size_t index, const Result& result) {
  if (streams_) {
    write_stdout("\n");
    return;
  }
  finished_[index] = output_lines(index, result);
  while (num_printed_ < finished_.size() && finished_[num_printed_]) {
    write_stdout(
        fmt::format("Input: \"{}\"\n{}", (*prompts_)[num_printed_], *finished_[num_printed_]));
    finished_[num_printed_++]->clear();
  }
}

}  // namespace quern::tools
