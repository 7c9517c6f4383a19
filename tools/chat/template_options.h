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

/// Adds --system, a text in UTF-8, under the heading `title`.
const CLI::Option* add_system_option(CLI::App& app, std::optional<std::string>& system,
                                     const std::string& title);

/// Adds --chat-template, --var, --date and --parse-special-in-messages under the heading `title`;
/// `options` must live as long as the subcommand.
void add_template_options(CLI::App& app, TemplateOptions& options, const std::string& title);

}  // namespace quern::tools
