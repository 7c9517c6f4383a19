#include "tools/answers.h"

#include <fmt/format.h>

#include "tools/console.h"

namespace quern::tools {

void AnswerPrinter::on_update(const Update& update) {
  if (single()) write_stdout(update.text);
}

void AnswerPrinter::on_result(std::size_t index, const Result& result) {
  if (single()) {
    write_stdout("\n");
    return;
  }
  finished_[index] = result.text;
  while (num_printed_ < finished_.size() && finished_[num_printed_]) {
    write_stdout(fmt::format("Input: \"{}\"\nOutput: \"{}\"\n", (*prompts_)[num_printed_],
                             *finished_[num_printed_]));
    finished_[num_printed_++]->clear();
  }
}

}  // namespace quern::tools
