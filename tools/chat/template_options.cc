#include "tools/chat/template_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>

#include "quern/text.h"
#include "tools/chat/json_text.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

/// What the commands give the template themselves.
constexpr std::array<std::string_view, 4> kOwnVariables = {"messages", "tools", "documents",
                                                           "add_generation_prompt"};

void add_variable(const std::string& option, const std::string& value,
                  std::map<std::string, std::string>& variables) {
  const std::size_t equals = value.find('=');
  if (equals == std::string::npos || equals == 0) {
    usage_error("{}: expected NAME=JSON, got {}", option, quoted_name(value));
  }
  const std::string name = value.substr(0, equals);
  if (std::ranges::find(kOwnVariables, name) != kOwnVariables.end()) {
    usage_error("{}: {} is no variable to set: the command gives it", option, quoted_name(name));
  }
  std::string json = value.substr(equals + 1);
  if (invalid_utf8_at(json) || !is_json(json)) {
    usage_error("{} {}: expected JSON (a text in double quotes), got {}", option, name,
                quoted_name(json));
  }
  if (!variables.emplace(name, std::move(json)).second) {
    usage_error("{} {} is given twice", option, name);
  }
}

bool is_day(const std::string& text) {
  const auto number = [&](std::size_t begin, std::size_t length) {
    int value = 0;
    for (const char c : text.substr(begin, length)) {
      if (c < '0' || c > '9') return -1;
      value = value * 10 + (c - '0');
    }
    return value;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const int year = number(0, 4);
  const int month = number(5, 2);
  const int day = number(8, 2);
  if (year < 0 || month < 0 || day < 0) return false;
  return std::chrono::year_month_day(std::chrono::year(year),
                                     std::chrono::month(static_cast<unsigned>(month)),
                                     std::chrono::day(static_cast<unsigned>(day)))
      .ok();
}

}  // namespace

const CLI::Option* add_system_option(CLI::App& app, std::optional<std::string>& system,
                                     const std::string& title) {
  return OptionGroup(app, title)
      .value({"--system", "TEXT", "The system message (default: the template's own, if any)"},
             [&system](const std::string& option, const std::string& value) {
               if (invalid_utf8_at(value)) {
                 usage_error("{}: expected UTF-8, got {}", option, quoted_name(value));
               }
               system = value;
             });
}

void add_template_options(CLI::App& app, TemplateOptions& options, const std::string& title) {
  OptionGroup group(app, title);
  group.text({"--chat-template", "NAME|FILE",
              "One of the model's templates by name, a built-in one (chatml, qwen), or a "
              "Jinja file (default: the model's own)"},
             options.chat_template);
  group.values(
      {"--var", "NAME=JSON", "A variable of the template: enable_thinking=false; may be repeated"},
      [&options](const std::string& option, const std::string& value) {
        add_variable(option, value, options.variables);
      });
  group.value({"--date", "YYYY-MM-DD", "The day that the template sees (default: today)"},
              [&options](const std::string& option, const std::string& value) {
                if (!is_day(value)) {
                  usage_error("{}: expected a day as YYYY-MM-DD, got {}", option,
                              quoted_name(value));
                }
                options.date = value;
              });
  group.flag("--parse-special-in-messages", options.parse_special_in_messages,
             "Let special tokens that messages have in their text become tokens");
}

}  // namespace quern::tools
