#pragma once

#include <filesystem>

#include "quern/files.h"

namespace quern {

/// Whether a folder lists `path`. True also for a link into nowhere, whose opening then says what
/// it is: a broken link is never taken for a file that is not there. Errors: bad_file where the
/// system does not tell.
bool is_listed(const std::filesystem::path& path);

}  // namespace quern
