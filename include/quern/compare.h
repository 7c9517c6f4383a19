#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/export.h"
#include "quern/request.h"

// Lock-step comparison of two sides, node by node, for developers of Quern: docs/compare.md. It
// needs the library quern_compare (src/compare), which is not part of libquern; neither is
// installed, since the bounds belong to the kernels of one commit.

namespace quern {

/// Statistics of the errors of many elements, absolute or relative.
struct ErrorStatistics {
  double max = 0.0;
  double mean = 0.0;
  double median = 0.0;
};

/// Size of a step: tokens and sequences, with the number of decode sequences.
struct ComparedStep {
  int num_tokens = 0;
  int num_seqs = 0;
  int num_decode_seqs = 0;
};

/// How to run a model on two devices or in two dtypes.
struct CompareOptions {
  /// The tested side; of its limits only max_tokens_per_step and max_seq_len are used (0: as long
  /// as needed).
  EngineOptions tested;
  DeviceChoice reference_device = DeviceChoice::cpu;
  std::optional<int> reference_device_index;  ///< as EngineOptions::device_index
  std::optional<DType> reference_dtype;       ///< unset: the tested side's
  std::optional<KvCacheDType> reference_kv_cache_dtype = std::nullopt;  ///< the same
  /// Each node of the tested side gets the reference's inputs, KV cache and state, so that each
  /// error is that node's own. Otherwise it gets its own, and errors accumulate; tokens are the
  /// reference's in both cases.
  bool lock_step = true;
  int decode_steps = 2;            ///< decode steps after the prompts
  std::optional<double> max_nmse;  ///< replaces the limits for the dtype
  /// Called after each step of compare(); returns false to stop there.
  std::function<bool(const ComparedStep&)> on_step;
};

/// One output of one node in one step, tested against reference. NaN for NaN and an infinity for
/// the same infinity are no error.
struct ValueComparison {
  int step = 0;
  std::string node;   ///< "layers.3.attention"
  std::string op;     ///< "Attention"
  std::string value;  ///< as the graph dump names it; of attention also "….keys" and "….values",
                      ///< what it appended to the KV cache; of sample the tokens
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  ErrorStatistics absolute;
  ErrorStatistics relative;    ///< of the elements whose reference is not 0
  double nmse = 0.0;           ///< of the worst row: Σ (tested - reference)² / Σ reference²
  std::int64_t nmse_row = 0;   ///< index of that row
  double excess = 0.0;         ///< the largest error relative to its element's bound; 0: no bounds
  std::int64_t worst_row = 0;  ///< of the largest excess, without bounds of the largest error
  std::int64_t worst_col = 0;
  float worst_tested = 0.0f;
  float worst_reference = 0.0f;
  std::int64_t num_nan = 0;        ///< of the tested side
  std::int64_t num_infinite = 0;   ///< of the tested side
  std::int64_t num_saturated = 0;  ///< of the tested side: the dtype's largest finite number
  /// Elements of an attention whose scores are too uncertain for a tight bound: their bound is the
  /// range of the values they average. A value with more than a tenth of them is over bound, since
  /// too few are checked.
  std::int64_t num_loose_bounds = 0;
  std::optional<double> max_nmse;  ///< the limit of the rows' NMSE
  bool over_bound = false;
};

struct Comparison {
  ModelInfo info;
  EngineOptions tested;     ///< as resolved
  EngineOptions reference;  ///< as resolved; of a file: unused
  bool complete = true;     ///< false when on_step stopped it: only the first steps
  std::vector<ComparedStep> steps;
  std::vector<ValueComparison> values;  ///< in execution order

  /// The first one over its bound, or null.
  const ValueComparison* first_over_bound() const {
    for (const ValueComparison& value : values) {
      if (value.over_bound) return &value;
    }
    return nullptr;
  }
};

/// Runs the prompts in one batch on both sides, node by node. Only the prompts of the requests are
/// used. In lock-step with one dtype every row is held to an NMSE of 1e-10 in float32, 1e-8 in
/// float16 (attention 2e-7), 2e-7 in bfloat16 (attention 1e-5), apart from one number at a rounding
/// boundary, and every element to a bound derived from the arithmetic; otherwise only to max_nmse,
/// if set. See docs/compare.md. Errors: those of Engine::load and Engine::submit.
QUERN_API Comparison compare(const ModelSource& model, std::span<const Request> prompts,
                             const CompareOptions& options = {});

/// Runs the prompt of a safetensors file (its tensor `prompt_ids`, integers [tokens]) and compares
/// every value in the file, [tokens, cols] of floats under the value's name, with the model's own.
/// Of the options those of the tested side and max_nmse count. Errors: those of Engine::load;
/// bad_file naming file and tensor for one that the model does not have, or of another shape.
QUERN_API Comparison compare_with_file(const ModelSource& model, const std::string& file,
                                       const CompareOptions& options = {});

}  // namespace quern
