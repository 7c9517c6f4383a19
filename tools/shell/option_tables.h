#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// One option as help shows it.
struct OptionRow {
  std::vector<std::string> short_names;  ///< with their dash: "-m"
  std::vector<std::string> long_names;   ///< with their dashes: "--model"
  std::string value;                     ///< what its value is called; empty for a flag
  bool repeatable = false;
  std::string description;
  std::string group;

  /// All names, short ones first.
  std::vector<std::string> names() const;
};

struct CommandTable {
  std::string name;  ///< "bench"; of a command within another both: "bench serve"
  std::string description;
  std::string footer;
  std::vector<OptionRow> options;

  bool is_inner() const { return name.find(' ') != std::string::npos; }
  /// Of an inner command the one that it is in, and its own name there.
  std::pair<std::string, std::string> parts() const;
};

/// What completion scripts and the man page are made of.
struct OptionTables {
  CommandTable program;
  std::vector<CommandTable> commands;  ///< each before those within it

  /// The own names of the commands within one, with blanks between them.
  std::string inner_names(const CommandTable& command) const;
};

/// The tables of a program whose options and subcommands are added; hidden subcommands are left
/// out.
OptionTables option_tables(const CLI::App& program);

}  // namespace quern::tools
