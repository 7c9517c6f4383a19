#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tests/runtime/greedy_request.h"
#include "tests/support/test_files.h"

namespace quern {

/// Engines of these tests run on the CPU, even if there is a GPU.
inline Engine load(EngineOptions options = {}, const std::string& model = "tale-llama") {
  if (options.device == DeviceChoice::automatic) options.device = DeviceChoice::cpu;
  return Engine::load(testing::demo_model(model).string(), options);
}

/// Token ids of no meaning; those of another `salt` differ from the first on.
inline std::vector<std::int32_t> made_up_ids(int count, int salt = 0) {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back(3 + (i * 37 + salt * 101) % 2000);
  return ids;
}

/// Sixteen prompts of very different lengths; `sampled` ones have seeds of their own.
inline std::vector<Request> sixteen_requests(bool sampled) {
  std::vector<Request> requests;
  std::string prompt = "Once";
  for (int i = 0; i < 16; ++i) {
    Request request = greedy(prompt, 20 + i);
    if (sampled) {
      request.sampling = {};
      request.sampling.temperature = 0.9f;
      request.sampling.top_p = 0.9f;
      request.sampling.seed = 1000u + static_cast<unsigned>(i);
    }
    requests.push_back(request);
    prompt += i % 2 == 0 ? " upon a time there was a" : " king, and he had a daughter who said";
  }
  return requests;
}

}  // namespace quern
