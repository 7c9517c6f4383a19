#include "tokenizer/folder/no_tokenizer.h"

#include "base/error.h"

namespace quern {
namespace {

class NoTokenizer final : public Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view, const EncodeOptions&) const override {
    fail(ErrorCode::invalid_argument,
         "the model has no tokenizer: expected a prompt of token ids, got text");
  }
  std::string token_bytes(std::int32_t) const override { return {}; }
  std::string decode(std::span<const std::int32_t>, bool) const override { return {}; }
  bool is_special(std::int32_t) const override { return false; }
  std::optional<std::int32_t> token_to_id(std::string_view) const override { return std::nullopt; }
  std::int32_t vocab_size() const override { return 0; }
  std::optional<std::int32_t> bos_id() const override { return std::nullopt; }
  std::vector<std::int32_t> eos_ids() const override { return {}; }
  std::string description() const override { return "none"; }
};

}  // namespace

std::unique_ptr<Tokenizer> make_no_tokenizer() { return std::make_unique<NoTokenizer>(); }

}  // namespace quern
