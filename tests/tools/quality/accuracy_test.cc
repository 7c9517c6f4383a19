// The parts that accuracy is made of.
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "tools/quality/accuracy/accuracy_bounds.h"
#include "tools/quality/accuracy/accuracy_report.h"
#include "tools/quality/accuracy/node_errors.h"

namespace quern::tools {
namespace {

ValueComparison value_of(const std::string& value, std::int64_t rows, double error, double nmse) {
  ValueComparison comparison;
  comparison.op = "Linear";
  comparison.value = value;
  comparison.rows = rows;
  comparison.cols = 10;
  comparison.absolute = {2 * error, error, error / 2};
  comparison.relative = {4 * error, 3 * error, error};
  comparison.nmse = nmse;
  return comparison;
}

TEST(NodeErrors, AreSummedUpByKind) {
  Comparison comparison;
  comparison.values = {value_of("embed", 1, 7, 0), value_of("layers.0.down", 3, 1, 1e-3),
                       value_of("layers.0.attention.keys", 1, 5, 2),
                       value_of("layers.11.down", 1, 5, 4e-3),
                       value_of("layers.2.down", 4, 2, 2e-3)};
  comparison.values[3].over_bound = true;
  comparison.values.push_back(value_of("sample", 1, 1, 1));
  comparison.values.back().op = "Sample";
  const auto kinds = errors_by_kind(comparison, false);
  ASSERT_EQ(kinds.size(), 3U);
  EXPECT_EQ(kinds[0].kind, "embed");
  EXPECT_EQ(kinds[1].kind, "down");
  EXPECT_EQ(kinds[2].kind, "attention.keys");
  EXPECT_EQ(kinds[1].num_values, 3U);
  EXPECT_EQ(kinds[1].num_over_bound, 1U);
  EXPECT_EQ(kinds[1].nmse, 4e-3);
  EXPECT_EQ(kinds[1].absolute.max, 10);
  EXPECT_DOUBLE_EQ(kinds[1].absolute.mean, (30.0 * 1 + 10 * 5 + 40 * 2) / 80);
  EXPECT_EQ(kinds[1].absolute.median, 1);  // of 0.5, 2.5 and 1
  EXPECT_EQ(kinds[1].relative.max, 20);
  EXPECT_EQ(kinds[1].relative.median, 2);
  EXPECT_EQ(errors_by_kind(comparison, true).size(), 4U);
}

TEST(NodeErrors, AreHeldByKind) {
  NodeErrors errors{kLockStep, "a", "b", {}, true};
  for (const char* kind : {"attention", "attention.keys", "down"}) {
    errors.kinds.push_back({kind, 1, {}, {}, 1e-3, 0});
  }
  errors.kinds[2].num_over_bound = 2;
  const auto nmse = nmse_checks(errors, {1e-2, 1e-4});
  ASSERT_EQ(nmse.size(), 3U);
  EXPECT_TRUE(nmse[0].holds());
  EXPECT_FALSE(nmse[1].holds());
  EXPECT_EQ(nmse[1].name, "lock-step NMSE of attention.keys");
  const auto over = over_bound_checks(errors);
  EXPECT_TRUE(over[0].holds());
  EXPECT_FALSE(over[2].holds());
  errors.kinds[0].nmse = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(nmse_checks(errors, {1, 1})[0].holds());
}

class AccuracyBoundsTest : public ::testing::Test {
 protected:
  std::string file(const std::string& content) {
    return testing::write_file(folder_ / "b.json", content).string();
  }
  testing::TempFolder folder_;
};

TEST_F(AccuracyBoundsTest, AreReadByDtype) {
  const AccuracyBounds bounds = read_accuracy_bounds(
      file("{\"float16\": {\"lock_step_nmse\": {\"attention\": 2, \"other\": 1}, \"max_kl\": 0.5},"
           "\"float32\": {}}"),
      "float16");
  ASSERT_TRUE(bounds.lock_step_nmse);
  EXPECT_EQ(bounds.lock_step_nmse->attention, 2);
  EXPECT_EQ(bounds.lock_step_nmse->other, 1);
  EXPECT_FALSE(bounds.free_running_nmse);
  EXPECT_EQ(bounds.max_kl, 0.5F);
  EXPECT_FALSE(bounds.max_rouge_drop);
  // The built-in ones know every dtype, and allow the finer ones less.
  const AccuracyBounds fine = read_accuracy_bounds("", "float32");
  const AccuracyBounds half = read_accuracy_bounds("", "float16");
  const AccuracyBounds coarse = read_accuracy_bounds("", "bfloat16");
  EXPECT_LT(fine.max_kl, half.max_kl);
  EXPECT_LT(half.max_kl, coarse.max_kl);
  EXPECT_GT(half.min_top1_agreement, coarse.min_top1_agreement);
  EXPECT_LT(half.lock_step_nmse->other, coarse.lock_step_nmse->other);
  // And every quantized format.
  EXPECT_EQ(read_accuracy_bounds("", "int8").max_kl, 1e-3F);
  EXPECT_EQ(read_accuracy_bounds("", "w8a8").max_perplexity_increase, 1.0F);
  EXPECT_GT(read_accuracy_bounds("", "int4").max_kl, read_accuracy_bounds("", "fp8").max_kl);
}

TEST_F(AccuracyBoundsTest, AreTheLooserOnesOfDtypeAndKvCache) {
  const std::string name = file(
      "{\"float16\": {\"max_kl\": 0.5, \"min_top1_agreement\": 90},"
      "\"kv_int8\": {\"max_kl\": 0.25, \"min_top1_agreement\": 80, \"max_rouge_drop\": 2}}");
  const AccuracyBounds bounds = read_accuracy_bounds(name, "float16", KvCacheDType::int8);
  EXPECT_EQ(bounds.max_kl, 0.5F);
  EXPECT_EQ(bounds.min_top1_agreement, 80);
  EXPECT_EQ(bounds.max_rouge_drop, 2);
  EXPECT_FALSE(bounds.free_running_nmse);
  EXPECT_FALSE(read_accuracy_bounds(name, "float16").max_rouge_drop);
  EXPECT_ANY_THROW(read_accuracy_bounds(name, "float16", KvCacheDType::fp8));
  for (const auto kv : {KvCacheDType::int8, KvCacheDType::fp8, KvCacheDType::k16v8}) {
    EXPECT_GT(read_accuracy_bounds("", "float32", kv).max_kl,
              read_accuracy_bounds("", "float32").max_kl);
  }
}

TEST_F(AccuracyBoundsTest, NameFileAndKeyOfWhatIsWrong) {
  // Wherever it is: also among the bounds of another dtype than the tested one.
  const std::vector<std::pair<std::string, std::vector<std::string_view>>> bad = {
      {"{", {"b.json", "JSON"}},
      {"[]", {"b.json", "an object"}},
      {"{\"float64\": {}}",
       {"b.json", "'float64'", "unknown", "float32, float16, bfloat16, int8, int4, fp8, w8a8"}},
      {"{\"bfloat16\": {}}", {"b.json", "'float16'", "bounds for what is tested", "nothing"}},
      {"{\"float16\": 1}", {"b.json", "'float16'", "an object", "1"}},
      {"{\"float16\": {}, \"float32\": {\"max_LK\": 1}}",
       {"b.json", "'float32.max_LK'", "unknown", "max_kl"}},
      {"{\"float16\": {\"max_kl\": \"1\"}}", {"b.json", "'float16.max_kl'", "a number"}},
      {"{\"float16\": {\"max_kl\": -1}}", {"b.json", "'float16.max_kl'", "from 0", "-1"}},
      {"{\"float16\": {\"min_top1_agreement\": 101}}",
       {"b.json", "'float16.min_top1_agreement'", "100", "101"}},
      {"{\"float16\": {\"lock_step_nmse\": 1}}",
       {"b.json", "'float16.lock_step_nmse'", "an object"}},
      {"{\"float16\": {\"lock_step_nmse\": {\"attention\": 1}}}",
       {"b.json", "'float16.lock_step_nmse.other'", "a number", "nothing"}},
      {"{\"float16\": {\"free_running_nmse\": {\"attention\": 1, \"other\": 1, \"qkv\": 1}}}",
       {"b.json", "'float16.free_running_nmse.qkv'", "unknown", "attention, other"}},
      {"{\"float16\": {\"max_kl\": 1, \"max_kl\": 2}}", {"b.json", "duplicate", "max_kl"}}};
  for (const auto& [content, parts] : bad) {
    try {
      read_accuracy_bounds(file(content), "float16");
      ADD_FAILURE() << "took " << content;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_file);
      for (const auto part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << error.what() << " lacks " << part;
      }
    }
  }
}

TEST(AccuracyPage, KeepsItsTablesWhateverNamesAreGiven) {
  AccuracyReport report;
  report.info.name = "a|b";
  report.bounds = "x\\y\nz|w";
  report.checks = {{"c|d", 1, 2}, {"e", 3, 2}};
  const std::string page = accuracy_page(report);
  EXPECT_NE(page.find("| bounds | x\\\\y z\\|w |\n"), std::string::npos) << page;
  EXPECT_NE(page.find("| c\\|d | 1 | at most 2 | holds |\n"), std::string::npos);
  EXPECT_NE(page.find("| e | 3 | at most 2 | DOES NOT HOLD |\n"), std::string::npos);
  EXPECT_NE(page.find("**1 of 2 checks DO NOT HOLD.**"), std::string::npos);
  EXPECT_EQ(page.find("## Summaries"), std::string::npos);
  report.complete = false;
  report.checks.clear();
  EXPECT_EQ(accuracy_verdict(report), "Interrupted. Nothing was checked.");
}

}  // namespace
}  // namespace quern::tools
