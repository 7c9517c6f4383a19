#pragma once

#include <string>

#include "tools/server/http/http_server.h"

namespace quern::tools {

/// Writes a line about an answered request to standard error: client, method, path, status, bytes,
/// milliseconds, id.
void log_access(const HttpRecord& record);

/// Writes a line about a request that the server failed on.
void log_failure(const std::string& id, const std::string& what);

}  // namespace quern::tools
