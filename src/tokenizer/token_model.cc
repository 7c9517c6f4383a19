#include "tokenizer/token_model.h"

namespace quern {

TokenModel::~TokenModel() = default;

}  // namespace quern
