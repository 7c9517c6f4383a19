#include "tokenizer/bpe/tiktoken.h"

#include <array>
#include <charconv>
#include <limits>

#include "base/check.h"
#include "io/json.h"
#include "tokenizer/bpe/byte_level.h"
#include "tokenizer/bpe/byte_level_bpe.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

constexpr std::size_t kMaxTokenBytes = 4096;  // the rules of a token take quadratic time in it
constexpr int kNumExtras = 205;

constexpr auto kBase64Values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}();

/// The bytes of padded base64, or nothing when it is not well-formed.
std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  std::uint32_t bits = 0;
  int num_bits = 0;
  for (const char digit : text.substr(0, text.size() - padding)) {
    const std::int8_t value = kBase64Values[static_cast<unsigned char>(digit)];
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    num_bits += 6;
    if (num_bits >= 8) {
      num_bits -= 8;
      bytes += static_cast<char>(bits >> num_bits & 0xFFu);
    }
  }
  const bool rest_is_zero = (bits & ((1u << num_bits) - 1)) == 0;
  return rest_is_zero ? std::optional(bytes) : std::nullopt;
}

struct RankedToken {
  std::string bytes;
  std::int32_t rank;
};

std::optional<RankedToken> parse_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == line.npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  std::int32_t rank = -1;
  const char* const end = line.data() + line.size();
  const auto parsed = std::from_chars(line.data() + space + 1, end, rank);
  if (!bytes || parsed.ec != std::errc() || parsed.ptr != end || rank < 0) return std::nullopt;
  return RankedToken{*std::move(bytes), rank};
}

std::vector<RankedToken> read_ranks(const std::filesystem::path& path) {
  const std::string text = read_tokenizer_file(path);
  std::vector<RankedToken> tokens;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    auto token = parse_line(line);
    if (!token) {
      fail(ErrorCode::bad_file, "{}: line {}: expected a token in base64 and its rank, got {}",
           path.string(), number, quoted_name(line));
    }
    if (token->bytes.size() > kMaxTokenBytes) {
      fail(ErrorCode::bad_file, "{}: line {}: a token of {} bytes, expected at most {}",
           path.string(), number, token->bytes.size(), kMaxTokenBytes);
    }
    tokens.push_back(*std::move(token));
  });
  return tokens;
}

/// Every way to make a token of two shorter ones is a rule: tiktoken merges whatever gives the
/// token of the lowest rank.
Bpe build_rules(const Vocabulary& vocabulary, const std::vector<RankedToken>& tokens,
                const std::string& where) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  ids.reserve(tokens.size());
  for (const auto& [bytes, rank] : tokens) ids.emplace(bytes, rank);
  std::vector<Bpe::Rule> rules;
  for (const auto& [bytes, rank] : tokens) {
    const std::string_view whole = bytes;
    for (std::size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = ids.find(whole.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(whole.substr(cut));
      if (right != ids.end()) rules.push_back({left->second, right->second, rank, rank});
    }
  }
  Bpe bpe(rules.size(), byte_ids(vocabulary, where));
  for (const Bpe::Rule& rule : rules) {
    const bool is_new = bpe.add(rule);
    QUERN_CHECK(is_new);
  }
  return bpe;
}

std::vector<AddedToken> control_tokens(std::int32_t first_id, std::int64_t vocab_size) {
  std::vector<std::string> names = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < kNumExtras; ++i) names.push_back(fmt::format("<|extra_{}|>", i));
  std::vector<AddedToken> tokens;
  for (std::string& name : names) {
    const auto id = static_cast<std::int32_t>(first_id + static_cast<std::int32_t>(tokens.size()));
    if (id >= vocab_size) break;
    AddedToken token;
    token.content = std::move(name);
    token.id = id;
    token.special = true;
    token.normalized = true;  // Qwen normalizes the whole text before it looks for them
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace

TokenizerParts load_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config) {
  const std::vector<RankedToken> tokens = read_ranks(path);
  std::vector<Vocabulary::Entry> entries;
  entries.reserve(tokens.size());
  for (const auto& [bytes, rank] : tokens) entries.emplace_back(symbols_from_bytes(bytes), rank);
  Vocabulary vocabulary(std::move(entries), {}, path.string());
  Bpe bpe = build_rules(vocabulary, tokens, path.string());
  PreTokenizer pretokenizer;
  pretokenizer.add_split(Regex(kQwenPattern, Regex::Syntax::pattern, path.string()),
                         PreTokenizer::Keep::all);

  TokenizerParts parts;
  const std::int32_t first_control = vocabulary.size();
  parts.added_tokens = control_tokens(
      first_control, config.vocab_size.value_or(std::numeric_limits<std::int32_t>::max()));
  if (!parts.added_tokens.empty()) parts.eos_ids = {first_control};
  parts.model =
      std::make_unique<ByteLevelBpe>(std::move(vocabulary), std::move(bpe), std::move(pretokenizer),
                                     ByteLevelBpe::Options{.nfc = true, .ignore_merges = true});
  parts.description = fmt::format("byte-level BPE ({})", path.filename().string());
  apply_config(config, {}, path.string(), parts);
  return parts;
}

}  // namespace quern
