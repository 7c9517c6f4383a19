#pragma once

#include <string>
#include <vector>

#include "quern/compare.h"
#include "tools/output/json_output.h"
#include "tools/quality/checks.h"

namespace quern::tools {

/// The errors of one kind of value, the same in every layer: "qkv", "attention.keys", "logits".
struct KindErrors {
  std::string kind;
  std::size_t num_values = 0;  ///< over layers and steps
  /// Over all of these: the largest, the mean by elements, the median of their medians.
  ErrorStatistics absolute;
  ErrorStatistics relative;
  double nmse = 0;  ///< of the worst row
  std::size_t num_over_bound = 0;
};

/// Most that the NMSE of a row may be.
struct NmseBounds {
  double attention = 0;  ///< of attention's output
  double other = 0;
};

inline constexpr const char* kLockStep = "lock-step";
inline constexpr const char* kFreeRunning = "free-running";

/// One comparison node by node, by kinds of values.
struct NodeErrors {
  std::string mode;       ///< one of the two above
  std::string tested;     ///< "cuda:0-float16"
  std::string reference;  ///< "cpu-float16", or a file's name
  std::vector<KindErrors> kinds;
  bool complete = true;
};

/// Sums up a comparison; the sampled tokens only of one in lock-step, where they must be the same.
/// Kinds come in the order of their first values.
std::vector<KindErrors> errors_by_kind(const Comparison& comparison, bool lock_step);

/// A check of each kind's NMSE.
std::vector<Check> nmse_checks(const NodeErrors& errors, const NmseBounds& bounds);

/// A check for each kind that no value is over the bound that the comparison held it to.
std::vector<Check> over_bound_checks(const NodeErrors& errors);

/// {"mode", "tested", "reference", "complete", "kinds": [{"kind", "num_values", "absolute_error",
/// "relative_error", "nmse", "num_over_bound"}, …]}
OrderedJson node_errors_json(const NodeErrors& errors);

}  // namespace quern::tools
