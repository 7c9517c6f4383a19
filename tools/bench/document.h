#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/bench/run_cell.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// Moves whenever a reader of the JSON or the CSV would have to.
inline constexpr int kBenchSchemaVersion = 2;

/// What `quern bench --json` prints, but for "cells" or "stress": schema, environment, settings,
/// engine, ceilings. Without an engine (no cell had room) the last two are null.
OrderedJson bench_document_json(const BenchSettings& settings, const EngineOptions& options,
                                const std::optional<Engine>& engine, const Ceilings& ceilings);

/// What runs, and where, and the ceilings: two lines above the table.
std::string bench_head_text(const Engine& engine, const Ceilings& ceilings);

}  // namespace quern::tools
