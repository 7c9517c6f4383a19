#pragma once

#include "quern/engine.h"
#include "tools/output/interrupt.h"
#include "tools/output/output_options.h"

namespace quern::tools {

/// True where a progress bar is welcome: on a terminal, and not quiet.
bool shows_progress(const OutputOptions& output);

/// For EngineOptions::on_load: a bar while weights load or are made, if there are enough to wait
/// for. With a scope, which must outlive the load, an interruption ends it with InterruptedError.
LoadCallback load_progress(const OutputOptions& output, const InterruptScope* interrupt = nullptr);

}  // namespace quern::tools
