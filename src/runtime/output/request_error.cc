#include "runtime/output/request_error.h"

#include "base/check.h"

namespace quern {

std::string sample_error_text(std::int32_t error, DType activations) {
  switch (static_cast<SampleError>(error)) {
    case SampleError::nonfinite_logits:
      if (activations == DType::float16) return "non-finite logits; float16 overflow? try bfloat16";
      return fmt::format("non-finite logits (NaN or infinity) in {}", dtype_name(activations));
    case SampleError::no_token:
      return "no token can be chosen: every logit is -inf, from the model or after penalties, "
             "biases and masks";
  }
  fail(ErrorCode::internal, "the output ring holds {} in place of a token", error);
}

}  // namespace quern
