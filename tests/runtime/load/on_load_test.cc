// EngineOptions::on_load: what a caller hears while weights load.
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "quern/engine.h"

namespace quern {
namespace {

EngineOptions small_options(LoadCallback on_load) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.max_seqs = 1;
  options.max_seq_len = 16;
  options.on_load = std::move(on_load);
  return options;
}

const RandomModel kModel = {.shape = "gpt_350m", .num_layers = 1};

TEST(OnLoad, CountsAllBytesOfTheWeights) {
  std::vector<LoadProgress> calls;
  const Engine engine = Engine::load(
      kModel, small_options([&](const LoadProgress& progress) { calls.push_back(progress); }));
  ASSERT_GT(calls.size(), 10U) << "one before the first weight and one after each";
  EXPECT_EQ(calls.front().done_bytes, 0U);
  for (std::size_t i = 1; i < calls.size(); ++i) {
    EXPECT_GT(calls[i].done_bytes, calls[i - 1].done_bytes);
    EXPECT_EQ(calls[i].total_bytes, calls[0].total_bytes);
  }
  EXPECT_EQ(calls.back().done_bytes, calls.back().total_bytes);
  EXPECT_LE(calls.back().total_bytes, engine.memory_plan().weight_bytes) << "which is padded";
  EXPECT_GT(calls.back().total_bytes, engine.memory_plan().weight_bytes * 9 / 10);
  EXPECT_FALSE(engine.options().on_load) << "it is not kept";
}

TEST(OnLoad, WhatItThrowsEndsTheLoad) {
  int num_calls = 0;
  const auto stop = [&](const LoadProgress&) {
    if (++num_calls == 2) throw std::domain_error("enough");
  };
  EXPECT_THROW(Engine::load(kModel, small_options(stop)), std::domain_error);
  EXPECT_EQ(num_calls, 2);
  EXPECT_FALSE(inspect(kModel, small_options(stop)).options.on_load);
  EXPECT_EQ(num_calls, 2) << "inspect() loads nothing";
}

}  // namespace
}  // namespace quern
