#include "runtime/schedule/beam_tables.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

namespace quern {
namespace {

TEST(BeamTables, CountsTheBlocksOfTheWorstCase) {
  // 70 prompt tokens fill two blocks of 32; 70 + 40 - 1 slots are in four.
  EXPECT_EQ(BeamTables::blocks_needed(70, 40, 4, 32), 2 + 4 * 2);
  EXPECT_EQ(BeamTables::blocks_needed(64, 1, 4, 32), 2);
  EXPECT_EQ(BeamTables::blocks_needed(5, 10, 3, 32), 3);
}

TEST(BeamTables, CopiesABlockForAllButItsLastHolder) {
  BeamTables tables({10, 11, 12, 13}, 5, 8);
  const std::vector<int> fork = {0, 0, 0};
  const auto copies = tables.advance(fork, 5);
  EXPECT_EQ(copies, (std::vector<BlockCopy>{{10, 11}, {10, 12}}));
  EXPECT_EQ(tables.table(2), std::vector{10});
  EXPECT_TRUE(tables.changed(0) && tables.changed(1) && tables.changed(2));
  EXPECT_TRUE(tables.advance(std::vector{1, 2, 0}, 6).empty()) << "each has its own";
  EXPECT_EQ(tables.table(0), std::vector{12});
  EXPECT_TRUE(tables.advance(std::vector{0, 1, 2}, 7).empty());
  EXPECT_FALSE(tables.changed(0) || tables.changed(1) || tables.changed(2));
}

/// Random searches: every beam finds its own tokens, copies read what was written, and the blocks
/// of blocks_needed() suffice.
TEST(BeamTables, BeamsKeepTheirTokensWithinTheirBlocks) {
  std::mt19937 random(3);
  const auto below = [&](int bound) {
    return static_cast<int>(random() % static_cast<unsigned>(bound));
  };
  for (int round = 0; round < 300; ++round) {
    const int block_size = 1 + below(8);
    const int prompt_len = 1 + below(40);
    const int max_tokens = 1 + below(40);
    const int num_beams = 2 + below(5);
    std::vector<std::int32_t> blocks(static_cast<std::size_t>(
        BeamTables::blocks_needed(prompt_len, max_tokens, num_beams, block_size)));
    std::iota(blocks.begin(), blocks.end(), 100);
    BeamTables tables(blocks, prompt_len, block_size);
    std::map<std::pair<std::int32_t, int>, int> cache;  // (block, slot) to token
    const auto place = [&](const std::vector<std::int32_t>& table, int position) {
      return std::pair(table.at(static_cast<std::size_t>(position / block_size)),
                       position % block_size);
    };
    std::vector<std::vector<int>> beams(1);
    for (int i = 0; i < prompt_len; ++i) {
      beams[0].push_back(below(1000));
      cache[place(tables.table(0), i)] = beams[0].back();
    }
    for (int position = prompt_len; position < prompt_len + max_tokens - 1; ++position) {
      std::vector<int> parents;
      std::vector<std::vector<int>> next;
      for (int i = 0; i < num_beams; ++i) {
        parents.push_back(below(static_cast<int>(beams.size())));
        next.push_back(beams[static_cast<std::size_t>(parents.back())]);
        next.back().push_back(below(1000));
      }
      beams = next;
      const auto copies = tables.advance(parents, position);
      std::set<std::int32_t> destinations;
      for (const BlockCopy& copy : copies) destinations.insert(copy.destination);
      ASSERT_EQ(destinations.size(), copies.size());
      for (const BlockCopy& copy : copies) {
        ASSERT_FALSE(destinations.contains(copy.source));
        for (int slot = 0; slot < block_size; ++slot) {
          cache[{copy.destination, slot}] = cache[{copy.source, slot}];
        }
      }
      for (int i = 0; i < num_beams; ++i) {
        cache[place(tables.table(i), position)] = beams[static_cast<std::size_t>(i)].back();
      }
      for (int i = 0; i < num_beams; ++i) {
        for (int k = 0; k <= position; ++k) {
          ASSERT_EQ(cache.at(place(tables.table(i), k)),
                    beams[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace quern
