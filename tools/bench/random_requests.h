#pragma once

#include <random>
#include <string>

#include "quern/request.h"
#include "tools/cli/fail.h"

namespace quern::tools {

/// A prompt of random ids with no early end and no random choice.
inline Request random_request(std::mt19937_64& generator, int vocab_size, int input_len,
                              int output_len) {
  std::uniform_int_distribution<std::int32_t> any_id(0, vocab_size - 1);
  Request request;
  for (int position = 0; position < input_len; ++position) {
    request.prompt_ids.push_back(any_id(generator));
  }
  request.max_new_tokens = output_len;
  request.sampling.greedy = true;
  request.ignore_eos = true;
  return request;
}

/// A run that failed has no time to tell. Errors: device, with what went wrong.
inline void require_success(FinishReason reason, const std::string& error) {
  if (reason != FinishReason::error) return;
  fail(ErrorCode::device, "a request that was to be timed failed: {}", error);
}

}  // namespace quern::tools
