#pragma once

#include <optional>
#include <string>

#include "quern/engine.h"
#include "tools/quality/accuracy/node_errors.h"

namespace quern::tools {

/// What `quern accuracy` holds a dtype to; what is not set is not checked.
struct AccuracyBounds {
  std::optional<NmseBounds> lock_step_nmse;  ///< for dtypes that differ
  std::optional<NmseBounds> free_running_nmse;
  std::optional<float> max_perplexity_increase;  ///< percent
  std::optional<float> max_kl;                   ///< nats
  std::optional<float> min_top1_agreement;       ///< percent
  std::optional<float> max_rouge_drop;           ///< points
  std::optional<float> rouge1_threshold;         ///< points
};

/// The bounds for a tested dtype from a JSON file, {"float16": {…}, …} with the names above as
/// keys; from the built-in one where `file` is empty. Errors: not_found; bad_file naming file and
/// key for one that is unknown, of another type or out of range, whatever the dtype, and for a
/// dtype without bounds. A KV cache of another dtype has bounds of its own, "kv_int8" say; the
/// looser ones of the two count, and all that only one of them has.
AccuracyBounds read_accuracy_bounds(const std::string& file, DType dtype,
                                    KvCacheDType kv_cache_dtype = KvCacheDType::automatic);

}  // namespace quern::tools
