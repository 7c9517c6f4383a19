#include "tokenizer/models/tiktoken.h"

#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "base/error.h"
#include "io/json/json.h"
#include "tokenizer/base64.h"
#include "tokenizer/config/special_tokens.h"
#include "tokenizer/models/bpe_model.h"
#include "tokenizer/models/byte_level.h"
#include "tokenizer/models/split_rules.h"
#include "tokenizer/normalize/text_normalizers.h"
#include "tokenizer/pretokenize/known_patterns.h"
#include "tokenizer/tokenizer_file.h"

namespace quern {
namespace {

constexpr int kNumExtras = 205;

/// One line of the file.
struct Line {
  std::string bytes;
  std::int32_t rank;
};

std::optional<Line> parse_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == line.npos) return std::nullopt;
  auto bytes = decode_base64(line.substr(0, space));
  std::int32_t rank = -1;
  const char* const end = line.data() + line.size();
  const auto parsed = std::from_chars(line.data() + space + 1, end, rank);
  if (!bytes || bytes->empty() || parsed.ec != std::errc() || parsed.ptr != end || rank < 0)
    return std::nullopt;
  return Line{*std::move(bytes), rank};
}

std::vector<Line> read_ranks(const std::filesystem::path& path) {
  const std::string text = read_tokenizer_file(path);
  std::vector<Line> tokens;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    auto token = parse_line(line);
    if (!token) {
      fail(ErrorCode::bad_file, "{}: line {}: expected a token in base64 and its rank, got {}",
           path.string(), number, quoted_name(line));
    }
    tokens.push_back(*std::move(token));
  });
  return tokens;
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

TokenizerParts load_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config,
                             TiktokenKind kind) {
  const std::vector<Line> tokens = read_ranks(path);
  std::vector<Vocabulary::Entry> entries;
  std::vector<RankedToken> ranked;
  entries.reserve(tokens.size());
  ranked.reserve(tokens.size());
  for (const auto& [bytes, rank] : tokens) {
    entries.emplace_back(symbols_from_bytes(bytes), rank);
    ranked.push_back({bytes, rank, rank});
  }
  Vocabulary vocabulary(std::move(entries), path.string());
  const bool is_qwen = kind == TiktokenKind::qwen;
  BpeModel::Options options;
  options.byte_level = true;
  options.ignore_merges = true;

  TokenizerParts parts;
  SpecialTokens special;
  special.file = path.string();
  if (is_qwen) {
    special.tokens_of_file = control_tokens(
        vocabulary.size(), config.vocab_size.value_or(std::numeric_limits<std::int32_t>::max()));
    if (!special.tokens_of_file.empty()) special.eos = special.tokens_of_file.front().content;
    // The original tokenizer takes its normal form from Python.
    parts.normalizers.push_back(
        std::make_unique<NormalFormNormalizer>(NormalForm::nfc, NormalFormVersion::current));
    parts.max_shrinkage = 4;
  }
  parts.pre_tokenizers.push_back(std::make_unique<SplitPreTokenizer>(
      find_known_pattern(is_qwen ? kQwenPattern : kLlama3Pattern), SplitBehavior::isolated, false));
  parts.pre_tokenizers.push_back(std::make_unique<ByteLevelPreTokenizer>(false, false, true));
  parts.decoders.push_back(std::make_unique<ByteLevelDecoder>());
  parts.model = std::make_unique<BpeModel>(std::move(vocabulary), rules_of_splits(ranked),
                                           std::move(options));
  apply_config(config, special, TokenizerClass::none, parts);
  parts.description = fmt::format("byte-level BPE ({})", path.filename().string());
  return parts;
}

}  // namespace quern
