#pragma once

#include <string>

#include "quern/benchmark.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// A table of each phase, for people.
std::string profile_table(const Profile& profile);

/// {"read_gbps", "prefill": {"num_steps", "nodes": [{"kind", …}]}, "decode": {…}}
OrderedJson profile_json(const Profile& profile);

}  // namespace quern::tools
