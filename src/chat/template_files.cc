#include "chat/template_files.h"

#include <fmt/format.h>

#include <vector>

#include "base/error.h"
#include "io/json/json.h"
#include "io/open_file.h"
#include "quern/chat.h"
#include "quern/files.h"
#include "tokenizer/config/tokenizer_config.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxTemplateBytes = std::size_t{4} << 20;

TemplateSource read_template(const fs::path& path) {
  TemplateSource source{read_text_file(path, kMaxTemplateBytes), path.string()};
  if (const auto at = invalid_utf8_at(source.text)) {
    fail(ErrorCode::bad_file, "{}: not UTF-8: byte {}", source.name, *at);
  }
  return source;
}

/// tokenizer_config.json's chat_template: a text, or a list of {"name", "template"}.
void read_configured(const fs::path& path, std::map<std::string, TemplateSource>& templates) {
  const Json json = read_json(path);
  const JsonObject config(json, path.string());
  const Json* written = config.find("chat_template");
  if (written == nullptr) return;
  if (written->is_string()) {
    templates["default"] = {written->get<std::string>(), path.string() + ": chat_template"};
    return;
  }
  if (!written->is_array()) config.reject("chat_template", "a text or a list of named templates");
  for (const Json& entry : *written) {
    const JsonObject one(entry, path.string(), "chat_template.");
    const std::string name = one.required_string("name");
    templates[name] = {one.required_string("template"),
                       fmt::format("{}: chat_template {}", path.string(), quoted_name(name))};
  }
}

bool is_first_qwen(const fs::path& folder) {
  const fs::path path = folder / "generation_config.json";
  if (!is_listed(path)) return false;
  const Json json = read_json(path);
  return JsonObject(json, path.string()).string("chat_format").value_or("") == "chatml";
}

TemplateSource built_in_source(std::string_view name) {
  return {std::string(*ChatTemplate::built_in(name)), fmt::format("{} (built in)", name)};
}

std::string names_of(const std::map<std::string, TemplateSource>& templates) {
  std::vector<std::string> names;
  names.reserve(templates.size());
  for (const auto& [name, source] : templates) names.push_back(quoted_name(name));
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::map<std::string, TemplateSource> read_templates(const fs::path& folder) {
  std::map<std::string, TemplateSource> templates;
  // Files of their own come before what the configuration says; as in transformers, one more
  // template beside the default hides the configuration's, too.
  if (const fs::path path = folder / "chat_template.jinja"; is_listed(path)) {
    templates["default"] = read_template(path);
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "additional_chat_templates", error)) {
    if (entry.path().extension() != ".jinja") continue;
    templates[entry.path().stem().string()] = read_template(entry.path());
  }
  if (!templates.empty()) return templates;
  if (const fs::path path = folder / "tokenizer_config.json"; is_listed(path)) {
    read_configured(path, templates);
  }
  return templates;
}

std::map<std::string, std::string> read_special_tokens(const fs::path& folder) {
  const TokenizerConfig config = read_tokenizer_config(folder);
  std::map<std::string, std::string> tokens;
  // What the classes of transformers take where no file names a token.
  switch (config.rebuilt_class) {
    case TokenizerClass::llama:
      tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
      break;
    case TokenizerClass::gpt2:
      tokens = {{"bos_token", "<|endoftext|>"},
                {"eos_token", "<|endoftext|>"},
                {"unk_token", "<|endoftext|>"}};
      break;
    case TokenizerClass::qwen2:
      tokens = {{"eos_token", "<|endoftext|>"},
                {"pad_token", "<|endoftext|>"},
                {"unk_token", "<|endoftext|>"}};
      break;
    case TokenizerClass::none:
      break;
  }
  for (const std::string& key : config.null_tokens) tokens.erase(key);
  for (const NamedToken& token : config.named_tokens) tokens[token.key] = token.content;
  return tokens;
}

TemplateSource choose_template(const fs::path& folder,
                               const std::optional<std::string>& name_or_file, bool has_tools) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    fail(ErrorCode::not_found, "{}: expected a model folder", folder.string());
  }
  auto templates = read_templates(folder);
  if (name_or_file) {
    if (const auto it = templates.find(*name_or_file); it != templates.end()) return it->second;
    if (ChatTemplate::built_in(*name_or_file)) return built_in_source(*name_or_file);
    if (is_listed(*name_or_file)) return read_template(*name_or_file);
    fail(ErrorCode::not_found,
         "chat template {}: neither a file nor a template of {} (which has {}), nor built in "
         "(chatml, qwen)",
         quoted_name(*name_or_file), folder.string(), names_of(templates));
  }
  if (has_tools) {
    if (const auto it = templates.find("tool_use"); it != templates.end() && templates.size() > 1) {
      return it->second;
    }
  }
  if (const auto it = templates.find("default"); it != templates.end()) return it->second;
  if (!templates.empty()) {
    fail(ErrorCode::bad_file,
         "{}: several chat templates and none called 'default': choose one of {}", folder.string(),
         names_of(templates));
  }
  if (is_first_qwen(folder)) return built_in_source("qwen");
  fail(ErrorCode::not_found,
       "{}: no chat template: expected chat_template.jinja or tokenizer_config.json's "
       "chat_template; choose one by its name (chatml) or file",
       folder.string());
}

}  // namespace quern
