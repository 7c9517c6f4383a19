#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <string_view>

namespace quern::tools {

/// Help in two columns, wrapped at `width`; command lines are broken as a shell takes them.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::size_t width) : width_(width) {}

  std::string make_description(const CLI::App* app) const override;
  std::string make_footer(const CLI::App* app) const override;
  std::string make_usage(const CLI::App* app, std::string name) const override;
  std::string make_group(std::string group, bool is_positional,
                         std::vector<const CLI::Option*> options) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;

 private:
  std::string two_columns(std::string_view name, std::string_view description) const;

  std::size_t width_;
};

/// The width for help on standard output: the terminal's, from 40 to 120, or 100 where there is
/// none.
std::size_t help_width();

}  // namespace quern::tools
