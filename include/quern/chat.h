#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/export.h"
#include "quern/tokenizer.h"

namespace quern {

/// A call of a tool that the model asks for.
struct ToolCall {
  std::string id;  ///< empty where the format has none
  std::string name;
  std::string arguments;  ///< JSON
};

/// One message of a conversation, as most of them are. What else a message may hold is written as
/// JSON: see ChatInput::messages.
struct Message {
  std::string role;  ///< system, user, assistant, tool, …
  std::optional<std::string> content;
  std::optional<std::string> reasoning;  ///< the template's reasoning_content
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;  ///< of a tool's result
  std::string name;
};

/// The messages as a JSON list, as ChatInput::messages takes them. Errors: invalid_argument for
/// text that is not UTF-8 and for arguments of a tool call that are not JSON.
QUERN_API std::string messages_to_json(std::span<const Message> messages);

/// What a chat template is rendered with. JSON keeps the order of keys, which templates show.
struct ChatInput {
  std::string messages;                  ///< a JSON list of objects, not empty
  std::optional<std::string> tools;      ///< a JSON list of function schemas
  std::optional<std::string> documents;  ///< a JSON list of objects
  bool add_generation_prompt = true;
  /// Further variables by name, as JSON: {"enable_thinking", "false"}.
  std::map<std::string, std::string> variables;
  std::optional<std::string> date;  ///< YYYY-MM-DD, the day that strftime_now sees; unset: today
};

/// A rendered prompt, and where its text comes from outside the template.
struct RenderedChat {
  std::string text;
  std::vector<TextRange> untrusted;  ///< in bytes, ascending
};

/// A model's chat template: a Jinja program that turns messages into a prompt, run without access
/// to anything but its input and within bounds of time and memory. Immutable: threads may share it.
class QUERN_API ChatTemplate {
 public:
  /// The model's own: the folder's chat_template.jinja and additional_chat_templates/NAME.jinja,
  /// else tokenizer_config.json's chat_template, as transformers 5 chooses; ChatML for a
  /// first-generation Qwen. With several, the one called "tool_use" when there are tools, else
  /// "default". `name_or_file`: one of the model's by its name, a built-in one, or a file.
  /// Errors: not_found; bad_file and unsupported with file and line.
  static ChatTemplate load(const std::filesystem::path& folder,
                           const std::optional<std::string>& name_or_file = std::nullopt,
                           bool has_tools = false);
  /// From its text. `name`: what errors call it. Errors: bad_file, unsupported with the line.
  static ChatTemplate parse(std::string_view source, const std::string& name);
  /// A built-in template, or nothing. Names: chatml; qwen, which is ChatML with the system message
  /// of the first Qwen's chat().
  static std::optional<std::string_view> built_in(std::string_view name);

  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Renders a prompt. Errors: invalid_argument, with the template's name and line where it ended:
  /// the template refuses the messages (raise_exception), takes too long or too much memory, or
  /// does what Python would not; unsupported for what this version lacks.
  RenderedChat render(const ChatInput& input) const;

  /// The ids of a rendered prompt: no BOS is added, as the template writes it. Special tokens are
  /// parsed where the template wrote them; in text of messages they, and the other added tokens
  /// that the template writes, stay text unless `parse_special_in_messages`. Errors: as
  /// Tokenizer::encode.
  std::vector<std::int32_t> encode(const Tokenizer& tokenizer, const RenderedChat& chat,
                                   bool parse_special_in_messages = false) const;

  /// Where it comes from: a file, "tokenizer_config.json", "chatml (built in)".
  const std::string& name() const;
  const std::string& source() const;  ///< the template's text

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// How a model writes tool calls.
enum class ToolCallFormat : std::uint8_t {
  none,     ///< all text is content
  hermes,   ///< `<tool_call>{"name": …, "arguments": …}</tool_call>`: Qwen, Hermes
  llama3,   ///< {"name": …, "parameters": …}, or behind `<|python_tag|>`
  mistral,  ///< [TOOL_CALLS] [{"name": …, "arguments": …}]
};

struct AnswerOptions {
  ToolCallFormat tool_calls = ToolCallFormat::none;
  bool parse_reasoning = true;       ///< takes `<think>…</think>` apart
  bool begins_in_reasoning = false;  ///< the prompt ended with `<think>`
};

/// What a piece of an answer adds.
struct AnswerDelta {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;  ///< those that are complete now
};

/// Takes the parts of an answer apart while it streams. The result does not depend on how the text
/// is cut into pieces. What looks like a tool call and is none stays content. The text must
/// have its special tokens written out (`<|python_tag|>`, [TOOL_CALLS]).
class QUERN_API AnswerParser {
 public:
  explicit AnswerParser(const AnswerOptions& options);
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;
  AnswerParser& operator=(AnswerParser&&) noexcept;

  AnswerDelta push(std::string_view piece);
  /// The answer ends here: what was held back.
  AnswerDelta finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The format that a template's text shows, or none.
QUERN_API ToolCallFormat tool_call_format(std::string_view template_source);

}  // namespace quern
