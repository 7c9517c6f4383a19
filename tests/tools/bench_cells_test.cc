#include <gtest/gtest.h>

#include "tests/tools/expect_usage_error.h"
#include "tools/bench/cells.h"
#include "tools/bench/report.h"

namespace quern::tools {
namespace {

TEST(BenchCells, ListsAreRead) {
  EXPECT_EQ(parse_batch_sizes("--batch-size", "1;8;64"), (std::vector<int>{1, 8, 64}));
  const std::vector<Lengths> lengths = parse_lengths("--input-output-len", "64,20;128,1");
  ASSERT_EQ(lengths.size(), 2u);
  EXPECT_EQ(lengths[0].input_len, 64);
  EXPECT_EQ(lengths[0].output_len, 20);
  EXPECT_EQ(lengths[1].output_len, 1);
}

TEST(BenchCells, BadListsAreUsageErrors) {
  for (const char* text : {"", ";", "1;", "0", "-1", "1,2", "a", "1;b", "1.5", "99999999"}) {
    EXPECT_THROW(parse_batch_sizes("--batch-size", text), UsageError) << text;
  }
  for (const char* text : {"", "64", "64,", ",20", "64,0", "0,20", "64,20;", "64,20,1", "a,b"}) {
    EXPECT_THROW(parse_lengths("--input-output-len", text), UsageError) << text;
  }
}

TEST(BenchCells, EveryBatchSizeMeetsEveryLength) {
  const auto cells = all_cells({1, 2}, {{3, 4}, {5, 6}});
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_EQ(cells[1].batch_size, 2);
  EXPECT_EQ(cells[1].input_len, 3);
  EXPECT_EQ(cells[2].batch_size, 1);
  EXPECT_EQ(cells[2].seq_len(), 11);
}

CellResult some_result() {
  CellResult result;
  result.cell = {4, 64, 21};
  result.latencies = {50, 30, 40, 20, 60};
  result.prefills = {10, 20, 15};
  result.decode_floor_ms = 1.0;
  return result;
}

TEST(BenchCells, RatesFollowFromMedians) {
  const CellResult result = some_result();
  EXPECT_DOUBLE_EQ(result.latency(0.5), 40);
  EXPECT_DOUBLE_EQ(result.latency(0.95), 58);
  EXPECT_DOUBLE_EQ(result.tokens_per_s(), 4 * 21 / 0.040);
  EXPECT_DOUBLE_EQ(result.prefill_tokens_per_s(), 4 * 64 / 0.015);
  EXPECT_DOUBLE_EQ(result.decode_step(), 25.0 / 20);
  EXPECT_DOUBLE_EQ(result.decode_tokens_per_s(), 4 / 0.00125);
  const OrderedJson json = bench_cell_json(result);
  EXPECT_EQ(json["share_of_floor"], 0.8);
  EXPECT_EQ(json["above_floor_us"], 250.0);
  EXPECT_EQ(json["runs"], 5);
}

TEST(BenchCells, OneNewTokenHasNoDecodeStep) {
  CellResult result = some_result();
  result.cell.output_len = 1;
  EXPECT_EQ(result.decode_step(), 0);
  EXPECT_EQ(result.decode_tokens_per_s(), 0);
  EXPECT_EQ(bench_cell_json(result)["share_of_floor"], 0.0);
}

TEST(BenchCells, RowsHaveAsManyFieldsAsTheirHeads) {
  const auto count = [](const std::string& text) {
    return std::count(text.begin(), text.end(), ',');
  };
  EXPECT_EQ(count(bench_csv_row(some_result())), count(bench_csv_head()));
  EXPECT_EQ(bench_table_row(some_result()).size(), bench_table_head().size());
  CellResult skipped = some_result();
  skipped.skipped = "no room";
  EXPECT_NE(bench_table_row(skipped).find("skipped: no room"), std::string::npos);
  EXPECT_EQ(bench_cell_json(skipped)["skipped"], "no room");
}

}  // namespace
}  // namespace quern::tools
