#include "tools/shell/man_page.h"

#include <fmt/format.h>

#include <string_view>

namespace quern::tools {
namespace {

/// Text that roff takes as it is: no escapes, hyphens that can be copied, no request at the start
/// of a line.
std::string roff(std::string_view text) {
  std::string escaped;
  bool at_line_start = true;
  for (const char character : text) {
    if (at_line_start && (character == '.' || character == '\'')) escaped += "\\&";
    at_line_start = character == '\n';
    if (character == '\\') {
      escaped += "\\e";
    } else if (character == '-') {
      escaped += "\\-";
    } else {
      escaped += character;
    }
  }
  return escaped;
}

std::string option_paragraph(const OptionRow& option) {
  std::string names;
  for (const std::string& name : option.names()) {
    names += (names.empty() ? "" : ", ") + fmt::format("\\fB{}\\fR", roff(name));
  }
  if (!option.value.empty()) names += fmt::format(" \\fI{}\\fR", roff(option.value));
  return fmt::format(".TP\n{}\n{}\n", names, roff(option.description));
}

/// Lines that are shown as they are; empty ones would be a fault in roff's own layout.
std::string example(std::string_view lines) {
  return fmt::format(".PP\n.nf\n{}\n.fi\n", roff(lines));
}

/// The options under the headings of help.
std::string options(const CommandTable& command) {
  std::string text;
  std::string group;
  for (const OptionRow& option : command.options) {
    if (option.group != group) {
      group = option.group;
      text += fmt::format(".PP\n{}:\n", roff(group));
    }
    text += option_paragraph(option);
  }
  return text;
}

}  // namespace

std::string man_page(const OptionTables& tables, const std::string& version,
                     const std::string& date) {
  std::string text = fmt::format(
      ".TH QUERN 1 {} \"quern {}\" \"User Commands\"\n"
      ".SH NAME\nquern \\- run large language models from Hugging Face folders\n"
      ".SH SYNOPSIS\n.B quern\n.I COMMAND\n.RI [ OPTIONS ]\n"
      ".SH DESCRIPTION\n{}\n",
      date, roff(version), roff(tables.program.description));
  text +=
      "A model is a folder, or org/name from the local Hugging Face cache, without network "
      "access.\n"
      "In option names an underscore works in place of a hyphen.\n";
  text += ".SH OPTIONS\n";
  for (const OptionRow& option : tables.program.options) text += option_paragraph(option);
  text += ".SH COMMANDS\n";
  for (const CommandTable& command : tables.commands) {
    text += fmt::format(".SS quern {}\n{}.\n", roff(command.name), roff(command.description));
    text += options(command);
    if (!command.footer.empty()) text += example(command.footer);
  }
  text +=
      ".SH EXIT STATUS\n"
      ".TP\n0\nDone.\n"
      ".TP\n1\nFailed: one error line says what, where, expected and actual.\n"
      ".TP\n2\nUsage.\n"
      ".TP\n3\nA requested check did not hold.\n"
      ".TP\n130\nInterrupted; what was generated so far is printed.\n"
      ".SH ENVIRONMENT\n"
      ".TP\n.B QUERN_MODEL\nThe model where none is given.\n"
      ".TP\n.B HF_HOME, HF_HUB_CACHE\nWhere the Hugging Face cache is.\n"
      ".TP\n.B NO_COLOR\nNo colour on a terminal.\n";
  return text;
}

}  // namespace quern::tools
