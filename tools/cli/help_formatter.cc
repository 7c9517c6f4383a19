#include "tools/cli/help_formatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/output/console.h"
#include "tools/output/text_table.h"

namespace quern::tools {
namespace {

constexpr std::size_t kNameColumn = 2;
constexpr std::size_t kTextColumn = 32;  // less where that would leave little room
constexpr std::size_t kDefaultWidth = 100;
constexpr std::size_t kMinWidth = 40;
constexpr std::size_t kMaxWidth = 120;

/// A command line, broken with backslashes where it is too long. Words in quotes stay whole.
std::string wrapped_command(std::string_view line, std::size_t width) {
  const std::string indent(line.find_first_not_of(' '), ' ');
  std::string text;
  std::string current = indent;
  for (std::size_t begin = indent.size(); begin < line.size();) {
    std::size_t end = begin;
    for (bool quoted = false; end < line.size() && (quoted || line[end] != ' '); ++end) {
      if (line[end] == '"') quoted = !quoted;
    }
    const std::string_view word = line.substr(begin, end - begin);
    constexpr std::size_t kContinuation = 2;  // " \"
    if (current.size() > indent.size() &&
        current.size() + 1 + word.size() + kContinuation > width) {
      text += current + " \\\n";
      current = indent + "  ";
    } else if (current.size() > indent.size()) {
      current += ' ';
    }
    current += word;
    begin = std::min(end + 1, line.size());
  }
  return text + current + '\n';
}

/// Each line of a text, wrapped; those that are indented are commands.
std::string wrapped_lines(std::string_view text, std::size_t width) {
  std::string lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(' ')) {
      lines += wrapped_command(line, width);
      continue;
    }
    for (const std::string& part : wrapped(line, width)) lines += part + '\n';
  }
  return lines;
}

}  // namespace

std::string HelpFormatter::two_columns(std::string_view name, std::string_view description) const {
  const std::size_t column = std::min(kTextColumn, width_ * 2 / 5);
  std::string text;
  std::string left = fmt::format("{:{}}{}", "", kNameColumn, name);
  if (left.size() >= column) text += std::exchange(left, "") + '\n';
  for (const std::string& line : wrapped(description, width_ - column)) {
    text += fmt::format("{:<{}} {}\n", std::exchange(left, ""), column - 1, line);
  }
  return text;
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return wrapped_lines(app->get_description(), width_);
}

std::string HelpFormatter::make_footer(const CLI::App* app) const {
  return wrapped_lines(app->get_footer(), width_);
}

std::string HelpFormatter::make_usage(const CLI::App* app, std::string /*name*/) const {
  if (app->get_parent() == nullptr) return "\nUsage: quern COMMAND [OPTIONS]\n\n";
  std::string names = app->get_name();
  for (const CLI::App* outer = app->get_parent(); outer->get_parent() != nullptr;
       outer = outer->get_parent()) {
    names.insert(0, outer->get_name() + " ");
  }
  return fmt::format("\nUsage: quern {} [OPTIONS]\n\n", names);
}

std::string HelpFormatter::make_group(std::string group, bool is_positional,
                                      std::vector<const CLI::Option*> options) const {
  std::string text = wrapped_lines(group + ":", width_);
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

std::size_t help_width() {
  return std::clamp(terminal_width(kStdout).value_or(kDefaultWidth), kMinWidth, kMaxWidth);
}

}  // namespace quern::tools
