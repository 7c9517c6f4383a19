#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "quern/engine.h"
#include "tools/quality/accuracy/node_errors.h"

namespace quern::tools {

/// What `quern accuracy` holds a dtype or a quantized model to; what is not set is not checked.
struct AccuracyBounds {
  std::optional<NmseBounds> lock_step_nmse;  ///< for dtypes that differ
  std::optional<NmseBounds> free_running_nmse;
  std::optional<float> max_perplexity_increase;  ///< percent
  std::optional<float> max_kl;                   ///< nats
  std::optional<float> min_top1_agreement;       ///< percent
  std::optional<float> max_rouge_drop;           ///< points
  std::optional<float> rouge1_threshold;         ///< points
};

/// The bounds for what is tested, a dtype or "int8", "int4", "fp8" or "w8a8", from a JSON file,
/// {"float16": {…}, "int8": {…}, …} with the names above as keys; from the built-in one where
/// `file` is empty. A KV cache of another dtype has bounds of its own, "kv_int8" say; the looser
/// ones of the two count, and all that only one of them has. Errors: not_found; bad_file naming
/// file and key for one that is unknown, of another type or out of range, whatever is tested, and
/// for what has no bounds.
AccuracyBounds read_accuracy_bounds(const std::string& file, std::string_view tested,
                                    KvCacheDType kv_cache_dtype = KvCacheDType::automatic);

}  // namespace quern::tools
