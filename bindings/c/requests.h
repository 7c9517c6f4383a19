#pragma once

#include "quern/engine.h"
#include "quern/quern.h"
#include "quern/request.h"

namespace quern::c {

/// A request from C. Errors: invalid_argument and unsupported, naming struct and field.
Request read_request(const quern_request& given);

/// Options from C, null for the defaults. A load callback that ends
/// the load throws Stopped.
EngineOptions read_engine_options(const quern_engine_options* given);

/// What is in force, for C.
quern_engine_options engine_options_to_c(const EngineOptions& options);

}  // namespace quern::c
