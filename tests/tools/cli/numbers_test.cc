#include "tools/cli/numbers.h"

#include <gtest/gtest.h>

#include "tests/tools/cli/expect_usage_error.h"

namespace quern::tools {
namespace {

constexpr NumberRange kProbability{0, 1, false, "a number in (0, 1]"};
constexpr NumberRange kFinite{-kAnyNumber, kAnyNumber, true, "a finite number"};

TEST(ParseInteger, TakesWholeDecimalNumbersInRange) {
  EXPECT_EQ(parse_integer("--top-k", "0", 0), 0);
  EXPECT_EQ(parse_integer("--top-k", "2147483647", 0), 2147483647);
  EXPECT_EQ(parse_integer("--top-k", "-3", -3, 3), -3);
}

TEST(ParseInteger, RejectsEverythingElseNamingOptionValueAndRange) {
  for (const char* text : {"", " 1", "1 ", "+1", "0x10", "1e3", "1.0", "-1", "2147483648",
                           "99999999999999999999", "nan", "ten", "--greedy"}) {
    EXPECT_USAGE_ERROR(({"--top-k", text, "an integer of at least 0"}),
                       parse_integer("--top-k", text, 0));
  }
  EXPECT_USAGE_ERROR(({"--logprobs", "'21'", "from 0 to 20"}),
                     parse_integer("--logprobs", "21", 0, 20));
}

TEST(ParseUnsigned, TakesAll64Bits) {
  EXPECT_EQ(parse_unsigned("--seed", "18446744073709551615"), 18446744073709551615U);
  EXPECT_USAGE_ERROR(({"--seed", "'18446744073709551616'"}),
                     parse_unsigned("--seed", "18446744073709551616"));
  EXPECT_USAGE_ERROR(({"--seed", "'-1'"}), parse_unsigned("--seed", "-1"));
}

TEST(ParseFloat, HoldsToItsRange) {
  EXPECT_EQ(parse_float("--top-p", "1", kProbability), 1.0F);
  EXPECT_EQ(parse_float("--top-p", "1e-3", kProbability), 1e-3F);
  EXPECT_EQ(parse_float("--presence-penalty", "-1.5", kFinite), -1.5F);
  for (const char* text : {"0", "1.0001", "2", "-1", "nan", "inf", "1e99", "0.5x", "", ",5"}) {
    EXPECT_USAGE_ERROR(({"--top-p", text, "(0, 1]"}), parse_float("--top-p", text, kProbability));
  }
}

TEST(ParseFloat, RejectsNumbersThatFloat32WouldTurnIntoOthers) {
  EXPECT_USAGE_ERROR(({"1e39"}), parse_float("--presence-penalty", "1e39", kFinite));
  EXPECT_USAGE_ERROR(({"1e-60"}), parse_float("--temperature", "1e-60", kFinite));
  EXPECT_EQ(parse_float("--temperature", "0.0", kFinite), 0.0F);
}

TEST(ParseIds, ReadsListsOfTokenIds) {
  EXPECT_EQ(parse_ids("--prompt-ids", "1,2,3"), (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(parse_ids("--prompt-ids", " 7 , 2147483647\n"),
            (std::vector<std::int32_t>{7, 2147483647}));
  for (const char* text : {"", ",", "1,,2", "1,", "-1", "1;2", "2147483648", "1 2", "a"}) {
    EXPECT_USAGE_ERROR(({"--prompt-ids", "token ids"}), parse_ids("--prompt-ids", text));
  }
}

TEST(ParseBytes, ReadsUnits) {
  EXPECT_EQ(parse_bytes("--kv-cache-memory", "1"), 1U);
  EXPECT_EQ(parse_bytes("--kv-cache-memory", "512MiB"), 512U << 20);
  EXPECT_EQ(parse_bytes("--kv-cache-memory", "1.5 GB"), 1500000000U);
  EXPECT_EQ(parse_bytes("--kv-cache-memory", "2G"), std::uint64_t{2} << 30);
  for (const char* text : {"", "0", "-1", "0.2", "GiB", "1XB", "1e99", "99999999TiB", "nan"}) {
    EXPECT_USAGE_ERROR(({"--kv-cache-memory", text}), parse_bytes("--kv-cache-memory", text));
  }
}

}  // namespace
}  // namespace quern::tools
