#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/cuda/driver/device_query.h"
#include "quern/engine.h"
#include "quern/error.h"
#include "tests/runtime/greedy_request.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// Engines on the first GPU; skips where there is none.
class GpuEngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const CudaEnvironment cuda = query_cuda();
    if (!cuda.unavailable_reason.empty()) GTEST_SKIP() << cuda.unavailable_reason;
  }

  static Engine load(EngineOptions options = {}, const std::string& model = "tale-llama") {
    options.device = DeviceChoice::cuda;
    return Engine::load(demo_model(model).string(), options);
  }

  /// A request with that many arbitrary tokens.
  static Request endless(const std::string& prompt, int max_new_tokens) {
    Request request = greedy(prompt, max_new_tokens);
    request.ignore_eos = true;
    return request;
  }
};

}  // namespace quern::testing
