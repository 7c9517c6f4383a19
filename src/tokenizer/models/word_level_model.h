#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/token_model.h"
#include "tokenizer/vocabulary.h"

namespace quern {

/// WordLevel: a piece is a token or unknown.
class WordLevelModel final : public TokenModel {
 public:
  WordLevelModel(Vocabulary vocabulary, std::string unk_token)
      : vocabulary_(std::move(vocabulary)), unk_token_(std::move(unk_token)) {}

  std::unique_ptr<Encoder> make_encoder(std::size_t text_bytes) const override;
  std::string token(std::int32_t id) const override { return vocabulary_.token(id); }
  std::optional<std::int32_t> find(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::int32_t size() const override { return vocabulary_.size(); }
  std::int32_t num_tokens() const override { return vocabulary_.num_tokens(); }
  std::size_t max_token_bytes() const override { return 0; }  // an unknown piece has any length
  bool fuses_unknown() const override { return true; }

 private:
  class WordLevelEncoder;

  Vocabulary vocabulary_;
  std::string unk_token_;
};

}  // namespace quern
