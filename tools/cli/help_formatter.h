#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace quern::tools {

/// Help in two columns, at most 100 wide, with descriptions wrapped.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;
};

}  // namespace quern::tools
