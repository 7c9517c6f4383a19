#pragma once

#include <string>

#include "tools/shell/option_tables.h"

namespace quern::tools {

/// quern.1: every command with its options, in the man macros of roff. `date` is YYYY-MM-DD.
std::string man_page(const OptionTables& tables, const std::string& version,
                     const std::string& date);

}  // namespace quern::tools
