#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/cli_forward.h"
#include "tools/cli/numbers.h"

namespace quern::tools {

/// Adds options to a subcommand under one heading of its help. Values arrive as they were written;
/// every error is a UsageError naming the option. What the options fill must live as long as the
/// subcommand.
class OptionGroup {
 public:
  OptionGroup(CLI::App& app, std::string title) : app_(&app), title_(std::move(title)) {}

  /// What an option is called ("-n,--max-new-tokens"), what its value is called ("N") and what it
  /// does.
  struct Text {
    std::string names;
    std::string placeholder;
    std::string description;
  };
  using Assign = std::function<void(const std::string& option, const std::string& value)>;

  CLI::Option* flag(const std::string& names, bool& target, const std::string& description);
  /// A flag that calls `assign` with its name.
  CLI::Option* flag_callback(const Text& text,
                             const std::function<void(const std::string& option)>& assign);
  /// A flag that clears `target`.
  CLI::Option* off_flag(const std::string& names, bool& target, const std::string& description);
  /// Takes one value and may be given once.
  CLI::Option* value(const Text& text, Assign assign);
  /// Takes one value each time it is given.
  CLI::Option* values(const Text& text, Assign assign);
  /// Any text but an empty one.
  CLI::Option* text(const Text& text, std::string& target);
  CLI::Option* text(const Text& text, std::optional<std::string>& target);
  /// An integer in [low, high].
  CLI::Option* integer(const Text& text, int& target, int low,
                       int high = std::numeric_limits<int>::max());
  CLI::Option* integer(const Text& text, std::optional<int>& target, int low,
                       int high = std::numeric_limits<int>::max());
  CLI::Option* number(const Text& text, std::optional<float>& target, const NumberRange& range);

 private:
  CLI::App* app_;
  std::string title_;
};

/// Throws a UsageError naming both when two of the options are given.
void reject_together(const std::vector<const CLI::Option*>& options);

/// Throws a UsageError naming both when `option` is given together with one of `others`.
void reject_with(const CLI::Option* option, const std::vector<const CLI::Option*>& others);

}  // namespace quern::tools
