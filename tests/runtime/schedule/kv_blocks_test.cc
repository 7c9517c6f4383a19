#include "runtime/schedule/kv_blocks.h"

#include <gtest/gtest.h>

#include <set>

namespace quern {
namespace {

TEST(KvBlocks, HandsOutEachBlockOnce) {
  KvBlocks blocks(5);
  const auto first = blocks.reserve(2);
  const auto second = blocks.reserve(3);
  ASSERT_TRUE(first && second);
  std::set<std::int32_t> all(first->begin(), first->end());
  all.insert(second->begin(), second->end());
  EXPECT_EQ(all, (std::set<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_FALSE(blocks.reserve(1));
}

TEST(KvBlocks, TakesNothingWhenNotAllAreFree) {
  KvBlocks blocks(3);
  EXPECT_FALSE(blocks.reserve(4));
  EXPECT_EQ(blocks.num_free(), 3);
}

TEST(KvBlocks, ReusesReleasedBlocks) {
  KvBlocks blocks(2);
  const auto first = blocks.reserve(2);
  blocks.release(*first);
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_EQ(blocks.reserve(2), first);
}

}  // namespace
}  // namespace quern
