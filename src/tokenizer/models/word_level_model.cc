#include "tokenizer/models/word_level_model.h"

#include "base/error.h"
#include "io/json/json.h"

namespace quern {

class WordLevelModel::WordLevelEncoder final : public Encoder {
 public:
  explicit WordLevelEncoder(const WordLevelModel& model) : model_(model) {}

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) override {
    auto id = model_.vocabulary_.find(piece);
    if (!id) id = model_.vocabulary_.find(model_.unk_token_);
    if (!id) {
      fail(ErrorCode::invalid_argument,
           "the text has {}, which is no token, and neither is the unknown token {}",
           quoted_name(piece), quoted_name(model_.unk_token_));
    }
    ids.push_back(*id);
  }

 private:
  const WordLevelModel& model_;
};

std::unique_ptr<TokenModel::Encoder> WordLevelModel::make_encoder(
    std::size_t /*text_bytes*/) const {
  return std::make_unique<WordLevelEncoder>(*this);
}

}  // namespace quern
