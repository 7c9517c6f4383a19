#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

/// What one measurement of a sweep runs: so many prompts of one length at a time, and how many new
/// tokens for each.
struct BenchCell {
  int batch_size = 0;
  int input_len = 0;
  int output_len = 0;

  int seq_len() const { return input_len + output_len; }
};

struct Lengths {
  int input_len = 0;
  int output_len = 0;
};

/// "1;8;16": at least one integer from 1 on. Errors: UsageError.
std::vector<int> parse_batch_sizes(const std::string& option, std::string_view text);

/// "64,20;128,20": pairs of input and output length, each from 1 on. Errors: UsageError.
std::vector<Lengths> parse_lengths(const std::string& option, std::string_view text);

/// Every batch size with every pair of lengths, lengths outside.
std::vector<BenchCell> all_cells(const std::vector<int>& batch_sizes,
                                 const std::vector<Lengths>& lengths);

}  // namespace quern::tools
