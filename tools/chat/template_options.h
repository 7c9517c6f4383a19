#pragma once

#include <map>
#include <optional>
#include <string>

#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// Which chat template renders messages, and what it sees beside them.
struct TemplateOptions {
  std::optional<std::string> chat_template;      ///< a name or a file; unset: the model's own
  std::map<std::string, std::string> variables;  ///< as JSON
  std::optional<std::string> date;               ///< YYYY-MM-DD
  bool parse_special_in_messages = false;
};

/// The options added, to be checked for contradictions.
struct TemplateSwitches {
  const CLI::Option* chat_template = nullptr;
  const CLI::Option* variables = nullptr;
  const CLI::Option* date = nullptr;
  const CLI::Option* parse_special = nullptr;
};

/// Adds --chat-template, --var, --date and --parse-special-in-messages under the heading `title`;
/// `options` must live as long as the subcommand.
TemplateSwitches add_template_options(CLI::App& app, TemplateOptions& options,
                                      const std::string& title);

}  // namespace quern::tools
