#include <gtest/gtest.h>

#include "tests/tools/cli/expect_usage_error.h"
#include "tools/bench/cells.h"
#include "tools/bench/report.h"
#include "tools/bench/sweep_plan.h"

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
  result.ceilings = {.read_gbps = 100, .product_tflops = 2};
  result.prefill_work = {.bytes = 1e8, .flops = 6e9};
  result.decode_work = {.bytes = 1e8, .flops = 1e9};
  return result;
}

TEST(BenchCells, RatesFollowFromMedians) {
  const CellResult result = some_result();
  EXPECT_DOUBLE_EQ(result.latency(0.5), 40);
  EXPECT_DOUBLE_EQ(result.latency(0.95), 58);
  EXPECT_DOUBLE_EQ(result.tokens_per_s(), 4 * 21 / 0.040);
  EXPECT_DOUBLE_EQ(result.prefill_tokens_per_s(), 4 * 64 / 0.015);
  EXPECT_DOUBLE_EQ(result.decode_step().value(), 25.0 / 20);
  EXPECT_DOUBLE_EQ(result.decode_tokens_per_s().value(), 4 / 0.00125);
  const OrderedJson json = bench_cell_json(result);
  EXPECT_EQ(json["share_of_floor"], 0.8);
  EXPECT_EQ(json["above_floor_us"], 250.0);
  EXPECT_EQ(json["runs"], 5);
  EXPECT_EQ(json["latencies_ms"], OrderedJson({50.0, 30.0, 40.0, 20.0, 60.0}));
  EXPECT_EQ(json["prefill_tokens_per_s"], 17067) << "rounded, not cut off";
  EXPECT_EQ(json["first_tokens_ms"], OrderedJson({10.0, 20.0, 15.0}));
}

TEST(BenchCells, TheSlowerOfReadingAndComputingIsTheFloor) {
  const OrderedJson json = bench_cell_json(some_result());
  EXPECT_EQ(json["decode_floor_ms"], 1.0) << "1e8 bytes at 100 GB/s; 1e9 operations take 0.5 ms";
  EXPECT_EQ(json["decode_bound"], "bytes");
  EXPECT_EQ(json["prefill_floor_ms"], 3.0) << "6e9 operations at 2 TFLOP/s";
  EXPECT_EQ(json["prefill_bound"], "flops");
  EXPECT_EQ(json["prefill_share_of_floor"], 0.2);
}

TEST(BenchCells, EachStepOfAPrefillReadsTheWeights) {
  const StepCost cost{.weight_bytes = 100, .kv_bytes = 7, .activation_bytes = 1000, .flops = 50};
  EXPECT_EQ(work_of(cost).bytes, 107);
  EXPECT_EQ(work_of(cost, 3).bytes, 307);
  EXPECT_EQ(work_of(cost, 3).flops, 50);
}

TEST(BenchCells, ACellHasWholeBlocksOfTheCache) {
  MemoryPlan plan;
  plan.num_kv_blocks = 10;
  plan.kv_block_tokens = 32;
  plan.kv_cache_bytes = 10 * 4096;
  EXPECT_EQ(kv_cache_bytes(plan, {2, 30, 3}), 2u * 2 * 4096) << "33 tokens need two blocks";
  EXPECT_EQ(kv_cache_bytes(plan, {3, 30, 2}), 3u * 4096);
}

TEST(BenchCells, OneNewTokenHasNoDecodeStep) {
  CellResult result = some_result();
  result.cell.output_len = 1;
  EXPECT_EQ(result.decode_step(), std::nullopt);
  EXPECT_EQ(result.decode_tokens_per_s(), std::nullopt);
  const OrderedJson json = bench_cell_json(result);
  EXPECT_FALSE(json.contains("share_of_floor"));
  EXPECT_FALSE(json.contains("withheld")) << "there is nothing to withhold";
}

TEST(BenchCells, AStepThatTookNoTimeIsWithheldWithTheReason) {
  CellResult result = some_result();
  result.latencies = {14, 15, 15};
  const OrderedJson json = bench_cell_json(result);
  for (const char* key :
       {"decode_step_ms", "decode_tokens_per_s", "above_floor_us", "share_of_floor"}) {
    EXPECT_FALSE(json.contains(key)) << key;
  }
  EXPECT_TRUE(json.contains("prefill_share_of_floor"));
  const auto reason = json["withheld"]["decode"].get<std::string>();
  EXPECT_NE(reason.find("medians 15.000 and 15.000 ms"), std::string::npos) << reason;
  const std::string row = bench_table_row(result);
  EXPECT_NE(row.find("decode figures withheld: runs with 21 new tokens"), std::string::npos) << row;
  EXPECT_EQ(row.substr(0, row.find('\n') + 1).size(), bench_table_head().size());
  const std::string csv = bench_csv_row(result);
  EXPECT_NE(csv.find(",,"), std::string::npos) << csv;
  EXPECT_NE(csv.find(",\"decode: runs with 21"), std::string::npos) << csv;
}

TEST(BenchCells, MoreThanTheFloorIsWithheldWithTheReason) {
  CellResult result = some_result();
  result.decode_work.bytes = 1.3e8;  // 1.04 of the floor: as far as ceilings vary
  EXPECT_EQ(bench_cell_json(result)["share_of_floor"], 1.04);
  result.decode_work.bytes = 1.782e9;  // 14.26 times the floor
  result.prefill_work.flops = 6e10;
  OrderedJson json = bench_cell_json(result);
  EXPECT_EQ(json["decode_step_ms"], 1.25) << "that was measured";
  for (const char* key : {"above_floor_us", "share_of_floor", "prefill_share_of_floor"}) {
    EXPECT_FALSE(json.contains(key)) << key;
  }
  const auto reason = json["withheld"]["decode"].get<std::string>();
  EXPECT_NE(reason.find("14.3 times as fast as 1.7 GiB can be read at 100 GB/s"), std::string::npos)
      << reason;
  const auto prefill = json["withheld"]["prefill"].get<std::string>();
  EXPECT_NE(prefill.find("2 times as fast as matrix products of 2 TFLOP/s"), std::string::npos)
      << prefill;
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
