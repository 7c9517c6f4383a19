#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/load/answer_reader.h"
#include "tools/load/server_url.h"

namespace quern::tools {

/// What is sent.
struct LoadRequest {
  const char* path = "/v1/completions";
  std::string body;               ///< JSON
  std::size_t prompt_tokens = 0;  ///< 0: only the server knows
};

/// How it is sent: as an open loop of Poisson arrivals, or as a closed one of so many at a time.
struct LoadSettings {
  ServerUrl url;
  std::string api_key;                   ///< empty: none
  double rate = 0;                       ///< requests a second, on average; 0: a closed loop
  int concurrency = 0;                   ///< requests at a time, where there is no rate
  int warm_up = 1;                       ///< requests before the clock starts, at once
  std::chrono::milliseconds timeout{0};  ///< of one request; 0: none
  std::uint64_t seed = 0;                ///< of the arrivals
};

struct LoadResult {
  double seconds = 0;                 ///< from the start to the end of the last answer
  std::vector<AnswerRecord> answers;  ///< in the order of their ends
  std::size_t most_at_once = 0;       ///< the most requests in flight
};

struct LoadWatch {
  std::function<bool()> interrupted;  ///< asked now and then; what is in flight is then left
  std::function<void(std::size_t num_ended)> on_progress;
};

/// Sends the first `warm_up` of the requests, then the others, from one thread. Errors: those of
/// resolve_server(); device for a request of the warm-up that failed. Later failures are in the
/// records.
LoadResult run_load(const LoadSettings& settings, const std::vector<LoadRequest>& requests,
                    const LoadWatch& watch);

}  // namespace quern::tools
