#include "tools/shell/option_tables.h"

#include <CLI/CLI.hpp>

namespace quern::tools {
namespace {

OptionRow option_row(const CLI::Option& option) {
  OptionRow row;
  for (const std::string& name : option.get_snames()) row.short_names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) row.long_names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) row.value = option.get_type_name();
  row.repeatable = option.get_expected_max() > 1;
  row.description = option.get_description();
  row.group = option.get_group();
  return row;
}

CommandTable command_table(const CLI::App& command) {
  CommandTable table;
  table.name = command.get_name();
  table.description = command.get_description();
  table.footer = command.get_footer();
  for (const CLI::Option* option : command.get_options({})) {
    if (option->nonpositional()) table.options.push_back(option_row(*option));
  }
  return table;
}

}  // namespace

std::vector<std::string> OptionRow::names() const {
  std::vector<std::string> all = short_names;
  all.insert(all.end(), long_names.begin(), long_names.end());
  return all;
}

std::pair<std::string, std::string> CommandTable::parts() const {
  const std::size_t space = name.find(' ');
  return {name.substr(0, space), name.substr(space + 1)};
}

std::string OptionTables::inner_names(const CommandTable& command) const {
  std::string all;
  for (const CommandTable& inner : commands) {
    if (!inner.is_inner() || inner.parts().first != command.name) continue;
    all += (all.empty() ? "" : " ") + inner.parts().second;
  }
  return all;
}

OptionTables option_tables(const CLI::App& program) {
  OptionTables tables;
  tables.program = command_table(program);
  for (const CLI::App* command : program.get_subcommands({})) {
    if (command->get_group().empty()) continue;
    tables.commands.push_back(command_table(*command));
    for (const CLI::App* inner : command->get_subcommands({})) {
      tables.commands.push_back(command_table(*inner));
      tables.commands.back().name = command->get_name() + " " + inner->get_name();
    }
  }
  return tables;
}

}  // namespace quern::tools
