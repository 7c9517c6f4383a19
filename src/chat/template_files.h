#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace quern {

/// A template's text and where it is from.
struct TemplateSource {
  std::string text;
  std::string name;
};

/// The templates of a folder by their names; a single one is called "default".
std::map<std::string, TemplateSource> read_templates(const std::filesystem::path& folder);

/// The special tokens that transformers passes to a template: bos_token, eos_token, …
std::map<std::string, std::string> read_special_tokens(const std::filesystem::path& folder);

/// ChatTemplate::load's choice. Errors: not_found naming what there is.
TemplateSource choose_template(const std::filesystem::path& folder,
                               const std::optional<std::string>& name_or_file, bool has_tools);

}  // namespace quern
