#pragma once

#include <string>

#include "tools/shell/option_tables.h"

namespace quern::tools {

// Scripts that complete commands, options, files, model folders, devices and dtypes.

/// For bash, to be sourced or installed as share/bash-completion/completions/quern.
std::string bash_completion(const OptionTables& tables);

/// For zsh, to be installed as _quern in a folder of fpath.
std::string zsh_completion(const OptionTables& tables);

/// For fish, to be sourced or installed as share/fish/vendor_completions.d/quern.fish.
std::string fish_completion(const OptionTables& tables);

}  // namespace quern::tools
