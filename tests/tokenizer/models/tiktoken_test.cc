#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? kDigits[bits >> (18 - 6 * k) & 63u] : '=';
    }
  }
  return text;
}

/// The bytes with their values as ranks.
std::string byte_ranks() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text += fmt::format("{} {}\n", base64(std::string(1, static_cast<char>(byte))), byte);
  }
  return text;
}

std::string line(std::string_view bytes, int rank) {
  return fmt::format("{} {}\n", base64(bytes), rank);
}

std::string small_ranks() {
  return byte_ranks() + line("bc", 256) + line("ab", 257) + line("abc", 258) + line("xyz", 259);
}

TEST(Tiktoken, MergesByTheRankOfTheResult) {
  const ModelFolder folder({{"qwen.tiktoken", small_ranks()}});
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->encode("abc"), Ids{258});
  EXPECT_EQ(tokenizer->encode("abcd"), (Ids{258, 'd'}));
  EXPECT_EQ(tokenizer->encode("xyz"), Ids{259});  // a whole piece, though no merges lead to it
  EXPECT_EQ(tokenizer->encode("xyza").size(), 4u);
  EXPECT_EQ(tokenizer->encode("<|im_end|>"), Ids{262});
  EXPECT_EQ(tokenizer->token_to_id("<|extra_204|>"), 260 + 207);
  EXPECT_EQ(tokenizer->vocab_size(), 260 + 208);
  EXPECT_EQ(tokenizer->eos_ids(), Ids{260});
}

TEST(Tiktoken, HasAsManyControlTokensAsTheModelHasRoomFor) {
  const ModelFolder folder(
      {{"qwen.tiktoken", small_ranks()}, {"config.json", R"({"vocab_size": 262})"}});
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 262);
  EXPECT_EQ(tokenizer->token_to_id("<|im_start|>"), 261);
  EXPECT_EQ(tokenizer->token_to_id("<|im_end|>"), std::nullopt);
}

TEST(Tiktoken, RefusesBrokenLines) {
  const ModelFolder folder;
  for (const char* broken : {"YWI", "YWI= x", "YW*= 256", "YWI=256", "Y=I= 256", " 256", "YWJ= 256",
                             "YWI= -1", "YWI= 256 1", "YWI= 99999999999", ""}) {
    folder.write("qwen.tiktoken", byte_ranks() + broken + "\n");
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"qwen.tiktoken", "line 257", "base64"}),
                       Tokenizer::load(folder.path()));
  }
}

// Every split of a token is a rule; long tokens take time in proportion to their length.
TEST(Tiktoken, TakesLongTokens) {
  const ModelFolder folder;
  folder.write("qwen.tiktoken",
               byte_ranks() + line("aa", 256) + line(std::string(500'000, 'a'), 257));
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->encode("aaa"), (Ids{256, 'a'}));
  EXPECT_EQ(tokenizer->encode(std::string(500'000, 'a')), Ids{257});  // a whole piece
}

}  // namespace
}  // namespace quern::testing
