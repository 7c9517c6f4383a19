#include "quern/version.h"

#include "base/commit.h"  // written by cmake/commit.cmake at build time

namespace quern {

const char* version() { return QUERN_VERSION; }

const char* commit() { return kCommit; }

}  // namespace quern
