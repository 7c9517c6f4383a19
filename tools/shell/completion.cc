#include "tools/shell/completion.h"

#include <fmt/format.h>

#include <array>
#include <map>
#include <string_view>
#include <utility>

namespace quern::tools {
namespace {

/// How the value of an option is completed: files, folders, some words or not at all.
struct ValueKind {
  bool files = false;
  bool folders = false;
  std::string_view words;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the defaulted comparison for a 0
  friend auto operator<=>(const ValueKind&, const ValueKind&) = default;
};

/// By what values are called in help.
ValueKind value_kind(std::string_view value) {
  constexpr std::array<std::pair<std::string_view, ValueKind>, 8> kKinds = {{
      {"FILE", {true, false, ""}},
      {"NAME|FILE", {true, false, ""}},
      {"MODEL", {false, true, ""}},
      {"FOLDER", {false, true, ""}},
      {"DEVICE", {false, false, "auto cpu cuda"}},
      {"DTYPE", {false, false, "auto float32 float16 bfloat16"}},
      {"TYPE", {false, false, "int8 int4 fp8 w8a8 fp8-dynamic"}},
      {"ENGINE", {false, false, "cpu-float32 cuda-float32"}},
  }};
  for (const auto& [name, kind] : kKinds) {
    if (name == value) return kind;
  }
  return {};
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// A word in single quotes, for every shell here.
std::string quoted(const std::string& text, std::string_view quote_inside) {
  return fmt::format("'{}'", replaced(text, "'", quote_inside));
}

std::string joined_names(const std::vector<OptionRow>& options) {
  std::string all;
  for (const OptionRow& option : options) {
    for (const std::string& name : option.names()) all += (all.empty() ? "" : " ") + name;
  }
  return all;
}

std::string command_names(const OptionTables& tables) {
  std::string all;
  for (const CommandTable& command : tables.commands) {
    if (!command.is_inner()) all += (all.empty() ? "" : " ") + command.name;
  }
  return all;
}

std::string bash_action(const ValueKind& kind) {
  if (kind.files) return "_quern_reply -f";
  if (kind.folders) return "_quern_reply -d";
  if (!kind.words.empty()) return fmt::format("_quern_reply -W '{}'", kind.words);
  return ":";
}

/// The case of one command: values of its options first, then the names of all.
std::string bash_command(const OptionTables& tables, const CommandTable& command) {
  std::map<ValueKind, std::string> patterns;
  for (const OptionRow& option : command.options) {
    if (option.value.empty()) continue;
    std::string& pattern = patterns[value_kind(option.value)];
    for (const std::string& name : option.names()) pattern += (pattern.empty() ? "" : "|") + name;
  }
  std::string text = fmt::format("    '{}')\n      case $previous in\n", command.name);
  for (const auto& [kind, pattern] : patterns) {
    text += fmt::format("        {}) {} ;;\n", pattern, bash_action(kind));
  }
  const std::string inner = tables.inner_names(command);
  if (!inner.empty())
    text += fmt::format("        {}) _quern_reply -W '{} {}' ;;\n", command.name, inner,
                        joined_names(command.options));
  return text + fmt::format("        *) _quern_reply -W '{}' ;;\n      esac ;;\n",
                            joined_names(command.options));
}

/// The text of a description within an _arguments specification.
std::string zsh_text(std::string text) {
  text = replaced(std::move(text), "\\", "\\\\");
  for (const char* special : {"[", "]", ":"}) {
    text = replaced(std::move(text), special, std::string("\\") + special);
  }
  return text;
}

std::string zsh_option(const OptionRow& option) {
  std::string value;
  if (!option.value.empty()) {
    const ValueKind kind = value_kind(option.value);
    std::string action = " ";
    if (kind.files) action = "_files";
    if (kind.folders) action = "_files -/";
    if (!kind.words.empty()) action = fmt::format("({})", kind.words);
    // An optional value has its brackets in help: [IDS].
    const char* colons = option.value.starts_with('[') ? "::" : ":";
    value = fmt::format("{}{}:{}", colons, zsh_text(option.value), action);
  }
  std::string text;
  for (const std::string& name : option.names()) {
    const std::string specification = fmt::format("{}{}[{}]{}", option.repeatable ? "*" : "", name,
                                                  zsh_text(option.description), value);
    text += fmt::format(" \\\n        {}", quoted(specification, "'\\''"));
  }
  return text;
}

/// When the options of a command are offered: its words are there, and none that would make it
/// another one.
std::string fish_condition(const OptionTables& tables, const CommandTable& command) {
  constexpr const char* kSeen = "__fish_seen_subcommand_from ";
  if (command.is_inner()) {
    const auto [outer, name] = command.parts();
    return kSeen + outer + "; and " + kSeen + name;
  }
  std::string condition = kSeen + command.name;
  for (const CommandTable& inner : tables.commands) {
    if (!inner.is_inner()) continue;
    const auto [outer, name] = inner.parts();
    if (outer == command.name) condition += "; and not " + (kSeen + name);
    if (name == command.name) condition += "; and not " + (kSeen + outer);
  }
  return condition;
}

std::string fish_option(const OptionRow& option, const std::string& condition) {
  std::string text = fmt::format("complete -c quern -n '{}'", condition);
  for (const std::string& name : option.short_names) text += " -s " + name.substr(1);
  for (const std::string& name : option.long_names) text += " -l " + name.substr(2);
  if (!option.value.empty()) {
    const ValueKind kind = value_kind(option.value);
    if (kind.files) {
      text += " -r -F";
    } else if (kind.folders) {
      text += " -x -a '(__fish_complete_directories)'";
    } else {
      text += kind.words.empty() ? " -x" : fmt::format(" -x -a '{}'", kind.words);
    }
  }
  const std::string description = replaced(option.description, "\\", "\\\\");
  return text + fmt::format(" -d {}\n", quoted(description, "\\'"));
}

}  // namespace

std::string bash_completion(const OptionTables& tables) {
  std::string text = R"(# bash completion for quern

_quern_reply() {
  [[ $1 == -W ]] || compopt -o filenames
  mapfile -t COMPREPLY < <(compgen "$@" -- "${COMP_WORDS[COMP_CWORD]}")
}

_quern() {
  local previous=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
)";
  text +=
      fmt::format("  if ((COMP_CWORD == 1)); then\n    _quern_reply -W '{} {}'\n    return\n  fi\n",
                  command_names(tables), joined_names(tables.program.options));
  text += "  local command=${COMP_WORDS[1]}\n";
  for (const CommandTable& command : tables.commands) {
    if (!command.is_inner()) continue;
    text += fmt::format(
        "  ((COMP_CWORD < 3)) || [[ \"$command ${{COMP_WORDS[2]}}\" != '{0}' ]] || command='{0}'\n",
        command.name);
  }
  text += "  case $command in\n";
  for (const CommandTable& command : tables.commands) text += bash_command(tables, command);
  return text + "  esac\n}\n\ncomplete -F _quern quern\n";
}

std::string zsh_completion(const OptionTables& tables) {
  std::string text = "#compdef quern\n# zsh completion for quern\n\n_quern() {\n";
  text += "  local -a commands=(\n";
  for (const CommandTable& command : tables.commands) {
    if (command.is_inner()) continue;
    const std::string entry = command.name + ":" + zsh_text(command.description);
    text += fmt::format("    {}\n", quoted(entry, "'\\''"));
  }
  text += "  )\n  if ((CURRENT == 2)); then\n    _describe -t commands 'quern command' commands\n";
  text += "    _arguments";
  for (const OptionRow& option : tables.program.options) text += zsh_option(option);
  text += "\n    return\n  fi\n  local command=$words[2]\n  shift words\n  ((CURRENT--))\n";
  for (const CommandTable& command : tables.commands) {
    if (!command.is_inner()) continue;
    text += fmt::format(
        "  if ((CURRENT > 2)) && [[ \"$command $words[2]\" == '{0}' ]]; then\n"
        "    command='{0}'\n    shift words\n    ((CURRENT--))\n  fi\n",
        command.name);
  }
  text += "  case $command in\n";
  for (const CommandTable& command : tables.commands) {
    text += fmt::format("    '{}')\n      _arguments", command.name);
    const std::string inner = tables.inner_names(command);
    if (!inner.empty()) text += fmt::format(" \\\n        '1:command:({})'", inner);
    for (const OptionRow& option : command.options) text += zsh_option(option);
    text += "\n      ;;\n";
  }
  // Autoloaded, the file is the function's body; sourced, it registers the function.
  return text +
         "  esac\n}\n\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n"
         "  _quern \"$@\"\nelse\n  compdef _quern quern\nfi\n";
}

std::string fish_completion(const OptionTables& tables) {
  std::string text = "# fish completion for quern\n\ncomplete -c quern -f\n";
  for (const OptionRow& option : tables.program.options) {
    text += fish_option(option, "__fish_use_subcommand");
  }
  for (const CommandTable& command : tables.commands) {
    const std::string condition = fish_condition(tables, command);
    std::string word = command.name;
    std::string place = "__fish_use_subcommand";
    if (command.is_inner()) {
      const auto [outer, name] = command.parts();
      word = name;
      place = fmt::format(
          "'__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}'", outer, name);
    }
    text += fmt::format("\ncomplete -c quern -n {} -a {} -d {}\n", place, word,
                        quoted(command.description, "\\'"));
    for (const OptionRow& option : command.options) text += fish_option(option, condition);
  }
  return text;
}

}  // namespace quern::tools
