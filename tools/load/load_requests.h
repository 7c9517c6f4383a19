#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/load/load.h"

namespace quern::tools {

/// Lengths in tokens, uniformly distributed.
struct LengthRange {
  int low = 128;
  int high = 128;
};

/// "128", or "1-512" for all from 1 to 512. Errors: UsageError.
LengthRange parse_length_range(const std::string& option, std::string_view text);

/// What the requests of a load have in common.
struct LoadRequestOptions {
  std::string model;  ///< empty: the field is left out
  LengthRange input;
  LengthRange output;
  int vocab_size = 1000;      ///< random ids are below it
  bool stops_at_eos = false;  ///< answers may end before their length
  std::uint64_t seed = 0;
};

/// Completions of prompts of random ids. The same seed gives the same requests, which with lengths
/// from 1 on are those of `quern bench --requests`, its warm-up included.
std::vector<LoadRequest> random_load(const LoadRequestOptions& options, std::size_t count);

/// Requests of the prompt records of JSON lines (docs/cli.md), which are repeated until there are
/// `count`: texts and ids become completions, messages chats. `file` is what errors call the text.
/// Errors: bad_file naming file, line and key, also for a key that servers do not know.
std::vector<LoadRequest> recorded_load(const LoadRequestOptions& options, std::size_t count,
                                       std::string_view text, const std::string& file);

}  // namespace quern::tools
