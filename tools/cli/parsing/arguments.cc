#include "tools/cli/parsing/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "quern/text.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/cli/parsing/spellings.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

std::string with_dashes(std::string_view name) {
  std::string dashed(name);
  std::replace(dashed.begin(), dashed.end(), '_', '-');
  return dashed;
}

const CLI::Option* find_option(const CLI::App& app, const std::string& name) {
  const std::vector<const CLI::Option*> found = app.get_options([&](const CLI::Option* option) {
    return option->nonpositional() && option->check_name(name);
  });
  return found.empty() ? nullptr : found.front();
}

/// Those that somebody who mistyped a name may have meant, which --help is not.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options({})) {
    if (option == app.get_help_ptr()) continue;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// True for another engine's option of one dash and several letters, such as -ngl.
bool is_long_with_one_dash(const std::string& argument) {
  const std::string name = with_dashes(argument.substr(0, argument.find('=')));
  return name.size() > 2 && find_spelling(name) != nullptr;
}

class Normalizer {
 public:
  Normalizer(const CLI::App& program, std::span<const std::string> arguments)
      : app_(&program), rest_(arguments) {}

  std::vector<std::string> normalize() {
    while (!rest_.empty()) {
      const std::string& argument = next();
      if (app_->get_allow_extras()) {  // a command that this build lacks says so itself
        normalized_.push_back(argument);
        continue;
      }
      const bool is_option = argument.size() > 1 && argument.front() == '-' && argument != "--";
      if (is_option && (argument.starts_with("--") || is_long_with_one_dash(argument))) {
        add_long(argument);
      } else if (is_option) {
        add_short(argument);
      } else {
        add_word(argument);
      }
    }
    if (help_requested_) normalized_.emplace_back("--help");
    return std::move(normalized_);
  }

 private:
  const std::string& next() {
    const std::string& argument = rest_.front();
    rest_ = rest_.subspan(1);
    return argument;
  }

  /// The command's option of that name, which another engine's spelling turns into ours; or null.
  const CLI::Option* find_known(std::string& name) const {
    const CLI::Option* option = find_option(*app_, name);
    const Spelling* spelling = option == nullptr ? find_spelling(name) : nullptr;
    if (spelling == nullptr || spelling->ours.empty()) return option;
    option = find_option(*app_, std::string(spelling->ours));
    if (option != nullptr) name = spelling->ours;
    return option;
  }

  [[noreturn]] void reject_unknown(const std::string& argument, const std::string& name) const {
    const Spelling* spelling = find_spelling(name);
    const bool hinted = spelling != nullptr && !spelling->hint.empty();
    usage_error(
        "unknown option {}{}", quoted_name(argument.substr(0, argument.find('='))),
        hinted ? fmt::format(": {}", spelling->hint) : suggestion(name, option_names(*app_)));
  }

  void add_long(const std::string& argument) {
    const std::size_t equals = argument.find('=');
    std::string name = with_dashes(argument.substr(0, equals));
    const CLI::Option* option = find_known(name);
    if (option == nullptr) reject_unknown(argument, name);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = argument.substr(equals + 1);
    add_option(*option, name, std::move(value));
  }

  void add_short(const std::string& argument) {
    for (std::size_t i = 1; i < argument.size(); ++i) {
      std::string name = {'-', argument[i]};
      const CLI::Option* option = find_known(name);
      if (option == nullptr) usage_error("unknown option {}", quoted_name(argument));
      const bool takes_value = option->get_items_expected_max() > 0;
      std::optional<std::string> value;
      if (takes_value && i + 1 < argument.size()) value = argument.substr(i + 1);
      add_option(*option, name, std::move(value));
      if (takes_value) return;
    }
  }

  void add_option(const CLI::Option& option, const std::string& name,
                  std::optional<std::string> value) {
    const bool takes_value = option.get_items_expected_max() > 0;
    const bool needs_value = option.get_items_expected_min() > 0;
    if (!takes_value && value) usage_error("{} takes no value", name);
    if (takes_value && !value && !rest_.empty() &&
        (needs_value || !rest_.front().starts_with('-'))) {
      value = next();
    }
    if (!needs_value && value && value->empty()) usage_error("{}: the value is empty", name);
    if (needs_value && !value) usage_error("{} needs a value", name);
    normalized_.push_back(name);
    if (value) normalized_.push_back(*std::move(value));
  }

  void add_word(const std::string& word) {
    if (app_->get_parent() != nullptr) {
      if (enter_subcommand(word)) return;
      usage_error("unexpected argument {}; texts are given with --prompt", quoted_name(word));
    }
    if (word == "help") {
      help_requested_ = true;
      return;
    }
    if (enter_subcommand(word)) return;
    std::vector<std::string> names;
    for (const CLI::App* command : app_->get_subcommands({})) names.push_back(command->get_name());
    usage_error("unknown command {}{}", quoted_name(word), suggestion(word, names));
  }

  /// A command of the program, or one of a command, which stands directly behind it.
  bool enter_subcommand(const std::string& word) {
    if (app_->get_parent() != nullptr && normalized_.back() != app_->get_name()) return false;
    for (const CLI::App* command : app_->get_subcommands({})) {
      if (command->get_name() != with_dashes(word)) continue;
      app_ = command;
      normalized_.push_back(command->get_name());
      return true;
    }
    return false;
  }

  const CLI::App* app_;
  std::span<const std::string> rest_;
  std::vector<std::string> normalized_;
  bool help_requested_ = false;
};

}  // namespace

std::vector<std::string> normalize_arguments(const CLI::App& program,
                                             std::span<const std::string> arguments) {
  return Normalizer(program, arguments).normalize();
}

}  // namespace quern::tools
