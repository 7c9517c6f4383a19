#pragma once

#include "quern/export.h"

namespace quern {

/// The library's semantic version, such as "0.1.0".
QUERN_API const char* version();

/// The commit it was built from, with "-dirty" when the tree had changes, or "unknown" outside a
/// checkout.
QUERN_API const char* commit();

}  // namespace quern
