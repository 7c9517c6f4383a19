#include "tools/cli/help_formatter.h"

#include <fmt/format.h>

#include <utility>

#include "tools/output/text_table.h"

namespace quern::tools {
namespace {

constexpr std::size_t kNameColumn = 2;
constexpr std::size_t kTextColumn = 32;

std::string two_columns(std::string_view name, std::string_view description) {
  std::string text;
  for (const std::string& line : wrapped(description, TextTable::kWidth - kTextColumn)) {
    const std::string left =
        fmt::format("{:{}}{}", "", kNameColumn, std::exchange(name, std::string_view()));
    text += fmt::format("{:<{}} {}\n", left, kTextColumn - 1, line);
  }
  return text;
}

}  // namespace

std::string HelpFormatter::make_usage(const CLI::App* app, std::string /*name*/) const {
  if (app->get_parent() == nullptr) return "\nUsage: quern COMMAND [OPTIONS]\n\n";
  return fmt::format("\nUsage: quern {} [OPTIONS]\n\n", app->get_name());
}

std::string HelpFormatter::make_group(std::string group, bool is_positional,
                                      std::vector<const CLI::Option*> options) const {
  std::string text = group + ":\n";
  for (const CLI::Option* option : options) text += make_option(option, is_positional);
  return text;
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool /*is_positional*/) const {
  std::string names;
  for (const std::string& name : option->get_snames()) names += fmt::format("-{}, ", name);
  // Long names stand below each other, with a short one in front or not.
  if (names.empty()) names = "    ";
  for (const std::string& name : option->get_lnames()) names += "--" + name;
  if (option->get_items_expected_max() > 0) names += " " + option->get_type_name();
  return two_columns(names, option->get_description());
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return two_columns(command->get_name(), command->get_description());
}

}  // namespace quern::tools
