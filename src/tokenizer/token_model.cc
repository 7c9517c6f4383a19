#include "tokenizer/token_model.h"

namespace quern {

TokenModel::~TokenModel() = default;

std::string TokenModel::normalize(std::string_view text) const { return std::string(text); }

}  // namespace quern
