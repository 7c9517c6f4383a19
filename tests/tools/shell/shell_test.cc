#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <string>

#include "tools/shell/completion.h"
#include "tools/shell/man_page.h"
#include "tools/shell/option_tables.h"

namespace quern::tools {
namespace {

/// A program with one command, whose texts have what each format has to escape.
OptionTables tables_with(const std::string& description) {
  CLI::App app("Grinds.", "quern");
  CLI::App* command = app.add_subcommand("grind", description);
  command->add_option("-f,--file", description)->type_name("FILE");
  app.add_subcommand("hidden", "Not shown")->group("");
  return option_tables(app);
}

TEST(OptionTables, HaveCommandsAndOptionsButNoHiddenCommand) {
  const OptionTables tables = tables_with("Grinds it");
  ASSERT_EQ(tables.commands.size(), 1);
  EXPECT_EQ(tables.commands[0].name, "grind");
  const std::vector<OptionRow>& options = tables.commands[0].options;
  ASSERT_EQ(options.size(), 2);  // and --help
  EXPECT_EQ(options[1].names(), (std::vector<std::string>{"-f", "--file"}));
  EXPECT_EQ(options[1].value, "FILE");
}

TEST(ManPage, EscapesWhatRoffWouldTakeForRequests) {
  const std::string page =
      man_page(tables_with(".not a request\n'nor \\this -x"), "1", "2026-01-31");
  EXPECT_NE(page.find("\\&.not a request\n\\&'nor \\ethis \\-x"), std::string::npos) << page;
}

TEST(Completion, QuotesDescriptions) {
  const OptionTables tables = tables_with("the model's [own]: text");
  EXPECT_NE(zsh_completion(tables).find("--file[the model'\\''s \\[own\\]\\: text]:FILE:_files'"),
            std::string::npos)
      << zsh_completion(tables);
  EXPECT_NE(fish_completion(tables).find("-d 'the model\\'s [own]: text'"), std::string::npos);
}

}  // namespace
}  // namespace quern::tools
