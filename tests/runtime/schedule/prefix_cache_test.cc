#include "runtime/schedule/prefix_cache.h"

#include <gtest/gtest.h>

#include <array>

#include "runtime/schedule/block_manager.h"

namespace quern {
namespace {

constexpr std::array<std::int32_t, 4> kIds = {5, 6, 7, 8};
constexpr std::array<std::int32_t, 4> kOtherIds = {5, 6, 7, 9};
constexpr PrefixHash kRoot{1, 2};

PrefixBlock content(std::uint64_t hash) { return {kRoot, {hash, hash}, kIds}; }

TEST(PrefixCache, EqualHashesAreNotEnough) {
  PrefixCache cache(4);
  EXPECT_TRUE(cache.add(2, content(7)));
  EXPECT_EQ(cache.find(content(7)), 2);
  EXPECT_EQ(cache.find(content(8)), std::nullopt);
  // Collisions: the same hash for other tokens, or after another prefix.
  EXPECT_EQ(cache.find({kRoot, {7, 7}, kOtherIds}), std::nullopt);
  EXPECT_EQ(cache.find({{3, 4}, {7, 7}, kIds}), std::nullopt);
  EXPECT_FALSE(cache.add(3, {kRoot, {7, 7}, kOtherIds}));
  EXPECT_EQ(cache.find(content(7)), 2);
}

TEST(PrefixCache, ForgetsWhatIsRemoved) {
  PrefixCache cache(4);
  cache.add(2, content(7));
  EXPECT_FALSE(cache.add(2, content(8))) << "one content a block";
  EXPECT_TRUE(cache.remove(2));
  EXPECT_FALSE(cache.remove(2));
  EXPECT_EQ(cache.find(content(7)), std::nullopt);
  EXPECT_EQ(cache.size(), 0);
  EXPECT_TRUE(cache.add(3, content(7)));
}

class CachedBlocks : public ::testing::Test {
 protected:
  /// A table of published blocks with hashes from `first_hash` on.
  std::vector<std::int32_t> publish_table(std::int64_t count, std::uint64_t first_hash) {
    const auto table = blocks_.reserve(count).value();
    for (const std::int32_t block : table) blocks_.publish(block, content(first_hash++));
    return table;
  }
  bool finds(std::uint64_t hash) const { return blocks_.find(content(hash)).has_value(); }

  BlockManager blocks_{4};
};

TEST_F(CachedBlocks, StayUntilMemoryIsNeeded) {
  const auto table = publish_table(2, 10);
  blocks_.release(table);
  EXPECT_EQ(blocks_.num_free(), 4);
  EXPECT_EQ(blocks_.num_cached(), 2);
  const auto two = blocks_.reserve(2).value();
  EXPECT_EQ(blocks_.num_cached(), 2) << "empty blocks go first";
  EXPECT_TRUE(finds(10) && finds(11));
  const auto third = blocks_.reserve(1).value();
  EXPECT_TRUE(finds(10)) << "a prefix loses its end first";
  EXPECT_FALSE(finds(11));
  EXPECT_EQ(third, std::vector{table[1]});
  EXPECT_FALSE(blocks_.reserve(2)) << "one is left";
}

TEST_F(CachedBlocks, LeaveInOrderOfTheirLastUse) {
  const auto first = publish_table(1, 10);
  const auto second = publish_table(1, 20);
  const auto third = publish_table(1, 30);
  blocks_.release(first);
  blocks_.release(second);
  blocks_.release(third);
  blocks_.release(blocks_.share(first));  // a use
  const auto two = blocks_.reserve(2).value();
  EXPECT_TRUE(finds(10) && finds(30));
  EXPECT_FALSE(finds(20));
  const auto one = blocks_.reserve(1).value();
  EXPECT_TRUE(finds(10));
  EXPECT_FALSE(finds(30));
}

TEST_F(CachedBlocks, HeldOnesAreNotReused) {
  const auto table = publish_table(2, 10);
  blocks_.release(table);
  const auto held = blocks_.share(table);
  EXPECT_EQ(blocks_.num_free(), 2);
  EXPECT_EQ(blocks_.num_cached(), 0);
  EXPECT_FALSE(blocks_.reserve(3));
  EXPECT_TRUE(blocks_.reserve(2));
  EXPECT_TRUE(finds(10) && finds(11));
  blocks_.release(held);
}

TEST_F(CachedBlocks, AreForgottenWhenTheyAreWrittenTo) {
  auto table = publish_table(1, 10);
  const auto copy = blocks_.make_writable(table, 0);
  EXPECT_EQ(copy, (BlockCopy{table[0], table[0]}));
  EXPECT_FALSE(finds(10));
}

TEST_F(CachedBlocks, AreForgottenOnDemand) {
  const auto held = publish_table(1, 10);
  const auto cached = publish_table(2, 20);
  blocks_.release(cached);
  blocks_.forget(std::vector{held[0], cached[0]});
  EXPECT_FALSE(finds(10) || finds(20));
  EXPECT_TRUE(finds(21));
  EXPECT_EQ(blocks_.num_free(), 3);
  blocks_.forget_all();
  EXPECT_EQ(blocks_.num_published(), 0);
  EXPECT_EQ(blocks_.num_cached(), 0);
  EXPECT_EQ(blocks_.num_free(), 3);
  blocks_.release(held);
  EXPECT_EQ(blocks_.num_free(), 4);
}

}  // namespace
}  // namespace quern
