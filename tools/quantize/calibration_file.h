#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quern::tools {

/// Where calibration texts come from, and how much of them is taken.
struct CalibrationSource {
  std::string file;  ///< a text, or prompts as JSON lines where its name ends with .jsonl
  std::string model;
  std::size_t max_tokens = 0;
  std::size_t window = 0;  ///< the longest sequence of tokens
};

/// Token ids of the file's texts in windows, each with BOS where the tokenizer adds one: from the
/// whole file, evenly, where it has more than max_tokens. Errors: bad_file naming the file (and the
/// line): one that is not UTF-8, records that are no prompts, fewer tokens than calibration takes;
/// those of the tokenizer and of a chat template, where prompts are messages.
std::vector<std::vector<std::int32_t>> read_calibration(const CalibrationSource& source);

}  // namespace quern::tools
