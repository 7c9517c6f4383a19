#pragma once

namespace quern::tools {

/// Lets the process open as many files as the system allows it: each connection is one, and the
/// usual soft limit is 1024. Where that fails, the limit stays.
void raise_descriptor_limit();

}  // namespace quern::tools
