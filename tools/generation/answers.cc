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
  if (form_ == AnswerForm::text) {
    write_stdout(update.text);
  } else if (!update.token_ids.empty()) {
    if (!std::exchange(at_start_, false)) write_stdout(",");
    write_stdout(joined(update.token_ids));
  }
}

std::string AnswerPrinter::output_lines(const Result& result) const {
  const auto line = [&](const auto& answer) {
    return fmt::format("Output: \"{}\"\n",
                       form_ == AnswerForm::text ? answer.text : joined(answer.output_ids));
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
  finished_[index] = output_lines(result);
  while (num_printed_ < finished_.size() && finished_[num_printed_]) {
    write_stdout(
        fmt::format("Input: \"{}\"\n{}", (*prompts_)[num_printed_], *finished_[num_printed_]));
    finished_[num_printed_++]->clear();
  }
}

}  // namespace quern::tools
