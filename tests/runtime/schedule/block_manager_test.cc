#include "runtime/schedule/block_manager.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Table = std::vector<std::int32_t>;

TEST(BlockManager, HandsOutEachBlockOnce) {
  BlockManager blocks(5);
  const auto first = blocks.reserve(2);
  const auto second = blocks.reserve(3);
  ASSERT_TRUE(first && second);
  std::set<std::int32_t> all(first->begin(), first->end());
  all.insert(second->begin(), second->end());
  EXPECT_EQ(all, (std::set<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_FALSE(blocks.reserve(1));
}

TEST(BlockManager, TakesNothingWhenNotAllAreFree) {
  BlockManager blocks(3);
  EXPECT_FALSE(blocks.reserve(4));
  EXPECT_EQ(blocks.num_free(), 3);
  EXPECT_EQ(blocks.reserve(0), Table{});
}

TEST(BlockManager, BlocksUsedLastAreUsedNext) {
  BlockManager blocks(4);
  const auto first = blocks.reserve(2);
  blocks.release(*first);
  EXPECT_EQ(blocks.num_free(), 4);
  EXPECT_EQ(blocks.reserve(2), first);
}

TEST(BlockManager, ATableGrowsByOneBlock) {
  BlockManager blocks(3);
  Table table = blocks.reserve(1).value();
  EXPECT_TRUE(blocks.append(table));
  EXPECT_TRUE(blocks.append(table));
  EXPECT_EQ(std::set<std::int32_t>(table.begin(), table.end()).size(), 3u);
  EXPECT_FALSE(blocks.append(table));
  EXPECT_EQ(table.size(), 3u);
  blocks.release(table);
  EXPECT_EQ(blocks.num_free(), 3);
}

TEST(BlockManager, SharedBlocksAreFreeWhenTheLastHolderGoes) {
  BlockManager blocks(2);
  const Table first = blocks.reserve(2).value();
  const Table second = blocks.share(first);
  EXPECT_EQ(second, first);
  EXPECT_EQ(blocks.ref_count(first[0]), 2);
  blocks.release(first);
  EXPECT_EQ(blocks.num_free(), 0);
  blocks.release(second);
  EXPECT_EQ(blocks.num_free(), 2);
  EXPECT_EQ(blocks.ref_count(first[0]), 0);
}

TEST(BlockManager, WhatIsSharedIsCopiedBeforeItIsWrittenTo) {
  BlockManager blocks(3);
  Table first = blocks.reserve(2).value();
  Table second = blocks.share(first);
  const std::int32_t shared = first[1];
  const auto copy = blocks.make_writable(second, 1);
  ASSERT_TRUE(copy);
  EXPECT_EQ(copy->source, shared);
  EXPECT_EQ(copy->destination, second[1]);
  EXPECT_NE(second[1], shared);
  EXPECT_EQ(second[0], first[0]);
  EXPECT_EQ(blocks.ref_count(shared), 1);
  // Each now has the block exclusively.
  EXPECT_EQ(blocks.make_writable(first, 1), (BlockCopy{shared, shared}));
  EXPECT_EQ(blocks.make_writable(second, 1), (BlockCopy{second[1], second[1]}));
  // The first block is still shared, and no block is free for a copy.
  const Table before = second;
  EXPECT_FALSE(blocks.make_writable(second, 0));
  EXPECT_EQ(second, before);
  EXPECT_EQ(blocks.ref_count(first[0]), 2);
}

TEST(BlockManager, ReleasingTwiceIsABug) {
  BlockManager blocks(2);
  const Table table = blocks.reserve(1).value();
  blocks.release(table);
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"released", "nobody holds"}), blocks.release(table));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"shared", "nobody holds"}), blocks.share(table));
}

/// Random calls, checked against the tables: a block's count is the number of tables with it, and
/// it is free exactly when no table has it.
class RandomCalls {
 public:
  explicit RandomCalls(std::uint32_t seed)
      : random_(seed), num_blocks_(below(40)), blocks_(num_blocks_) {}

  void run(int count) {
    for (int i = 0; i < count; ++i) {
      call();
      if (i % 64 == 0) check();
    }
    for (const Table& table : tables_) blocks_.release(table);
    tables_.clear();
    check();
    ASSERT_EQ(blocks_.num_free(), num_blocks_);
  }

 private:
  int below(std::int64_t bound) {
    return static_cast<int>(random_() % static_cast<unsigned>(bound));
  }
  Table& some_table() { return tables_[static_cast<std::size_t>(below(std::ssize(tables_)))]; }

  void call() {
    const int what = below(8);
    if (tables_.empty() || what == 0) {
      submit();
    } else if (what == 1) {  // finish, cancel
      std::swap(some_table(), tables_.back());
      blocks_.release(tables_.back());
      tables_.pop_back();
    } else if (what == 2 && tables_.size() < 64) {
      tables_.push_back(blocks_.share(some_table()));
    } else if (what <= 5) {
      append();
    } else {
      write();
    }
  }

  void submit() {
    const std::int64_t free = blocks_.num_free();
    const int wanted = below(6);
    auto table = blocks_.reserve(wanted);
    ASSERT_EQ(table.has_value(), wanted <= free);
    ASSERT_EQ(blocks_.num_free(), table ? free - wanted : free);
    if (table) tables_.push_back(*std::move(table));
  }

  void append() {
    Table& table = some_table();
    const Table before = table;
    const std::int64_t free = blocks_.num_free();
    ASSERT_EQ(blocks_.append(table), free > 0);
    ASSERT_EQ(table.size(), before.size() + (free > 0 ? 1 : 0));
    ASSERT_TRUE(std::equal(before.begin(), before.end(), table.begin()));
  }

  void write() {
    Table& table = some_table();
    if (table.empty()) return;
    const auto index = static_cast<std::size_t>(below(std::ssize(table)));
    const std::int32_t before = table[index];
    const bool shared = blocks_.ref_count(before) > 1;
    const std::int64_t free = blocks_.num_free();
    const auto copy = blocks_.make_writable(table, index);
    ASSERT_EQ(copy.has_value(), !shared || free > 0);
    if (!copy) return;
    ASSERT_EQ(copy->source, before);
    ASSERT_EQ(copy->destination, table[index]);
    ASSERT_EQ(shared, copy->source != copy->destination);
    ASSERT_EQ(blocks_.ref_count(table[index]), 1);
  }

  void check() {
    std::map<std::int32_t, int> holders;
    for (const Table& table : tables_) {
      std::set<std::int32_t> distinct(table.begin(), table.end());
      ASSERT_EQ(distinct.size(), table.size()) << "a table has a block twice";
      for (const std::int32_t block : table) ++holders[block];
    }
    for (std::int32_t block = 0; block < num_blocks_; ++block) {
      ASSERT_EQ(blocks_.ref_count(block), holders.contains(block) ? holders[block] : 0) << block;
    }
    ASSERT_EQ(blocks_.num_free() + std::ssize(holders), num_blocks_);
  }

  std::mt19937 random_;
  int num_blocks_;
  BlockManager blocks_;
  std::vector<Table> tables_;
};

TEST(BlockManager, ConservesBlocksUnderRandomCalls) {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    RandomCalls(seed).run(4000);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace quern
