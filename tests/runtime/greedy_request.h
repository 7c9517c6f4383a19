#pragma once

#include <string>

#include "quern/request.h"

namespace quern {

inline Request greedy(const std::string& prompt, int max_new_tokens) {
  Request request;
  request.prompt = prompt;
  request.sampling.greedy = true;
  request.max_new_tokens = max_new_tokens;
  return request;
}

}  // namespace quern
