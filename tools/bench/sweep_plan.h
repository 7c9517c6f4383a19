#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/bench/run_cell.h"

namespace quern::tools {

/// A result for each cell, none of them run. Those longer than the model's context are marked as
/// skipped. Errors: those of quern::inspect.
std::vector<CellResult> planned_cells(const std::vector<BenchCell>& cells, const ModelSource& model,
                                      const EngineOptions& options);

/// An engine for as many of the cells as one can have room for; `options` are its, but for the
/// limits. The cells that it was not made for are marked as skipped, with the reason: the largest
/// ones first, as long as memory does not do. Nothing when that is all of them.
std::optional<Engine> make_engine(const ModelSource& model, const EngineOptions& options,
                                  std::vector<CellResult>& results);

/// What the KV cache of a cell's sequences takes.
std::uint64_t kv_cache_bytes(const MemoryPlan& plan, const BenchCell& cell);

}  // namespace quern::tools
