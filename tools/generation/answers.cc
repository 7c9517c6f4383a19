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
  if (!single()) return;
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

void AnswerPrinter::on_result(std::size_t index, const Result& result) {
  if (single()) {
    write_stdout("\n");
    return;
  }
  finished_[index] = form_ == AnswerForm::text ? result.text : joined(result.output_ids);
  if (echoes_) {
    const char* between = form_ == AnswerForm::ids && !result.output_ids.empty() ? "," : "";
    finished_[index] = (*prompts_)[index] + between + *finished_[index];
  }
  while (num_printed_ < finished_.size() && finished_[num_printed_]) {
    write_stdout(fmt::format("Input: \"{}\"\nOutput: \"{}\"\n", (*prompts_)[num_printed_],
                             *finished_[num_printed_]));
    finished_[num_printed_++]->clear();
  }
}

}  // namespace quern::tools
