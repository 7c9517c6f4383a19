#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "base/error.h"
#include "chat/input_values.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/syntax/parser.h"
#include "chat/template_files.h"
#include "quern/chat.h"
#include "quern/text.h"

namespace quern {
namespace {

constexpr std::size_t kMaxMessageBytes = 2000;

constexpr std::string_view kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// As the first Qwen's chat(): a system message of its own. Source: qwen_generation_utils.py.
constexpr std::string_view kQwen =
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

[[noreturn]] void rethrow(const jinja::Failure& failure, const std::string& name, bool is_parsed) {
  const std::string message =
      shortened_text(replace_invalid_utf8(failure.message), kMaxMessageBytes);
  ErrorCode code = is_parsed ? ErrorCode::invalid_argument : ErrorCode::bad_file;
  if (failure.kind == jinja::Failure::Kind::unsupported) code = ErrorCode::unsupported;
  const char* what =
      failure.kind == jinja::Failure::Kind::raised ? "the template refuses the messages: " : "";
  fail(code, "{}: line {}: {}{}", name, failure.line, what, message);
}

std::tm day_of(const std::optional<std::string>& date) {
  std::tm day{};
  if (!date) {
    const std::time_t now = std::time(nullptr);
    localtime_r(&now, &day);
    return day;
  }
  const char* end = ::strptime(date->c_str(), "%Y-%m-%d", &day);
  if (date->size() != 10 || end == nullptr || *end != '\0') {
    fail(ErrorCode::invalid_argument, "date: expected YYYY-MM-DD, got {}", quoted_name(*date));
  }
  // Sets the day of the week and of the year, and shows days that no month has.
  std::tm whole = day;
  whole.tm_hour = 12;
  whole.tm_isdst = -1;
  std::mktime(&whole);
  if (whole.tm_mday != day.tm_mday || whole.tm_mon != day.tm_mon) {
    fail(ErrorCode::invalid_argument, "date: expected a day of the calendar, got {}", *date);
  }
  day.tm_wday = whole.tm_wday;
  day.tm_yday = whole.tm_yday;
  return day;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string name;
  std::string source;
  jinja::Template program;
  std::string literals;  ///< all text that the template itself writes
  std::map<std::string, std::string> special_tokens;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

const std::string& ChatTemplate::name() const { return impl_->name; }
const std::string& ChatTemplate::source() const { return impl_->source; }

std::optional<std::string_view> ChatTemplate::built_in(std::string_view name) {
  if (name == "chatml") return kChatMl;
  if (name == "qwen") return kQwen;
  return std::nullopt;
}

ChatTemplate ChatTemplate::parse(std::string_view source, const std::string& name) {
  if (const auto at = invalid_utf8_at(source)) {
    fail(ErrorCode::bad_file, "{}: not UTF-8: byte {}", name, *at);
  }
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->source = std::string(source);
  try {
    impl->program = jinja::parse_template(source);
  } catch (const jinja::Failure& failure) {
    rethrow(failure, name, false);
  }
  for (const std::string& literal : impl->program.literals) {
    impl->literals += literal;
    impl->literals += '\0';
  }
  return ChatTemplate(std::move(impl));
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder,
                                const std::optional<std::string>& name_or_file, bool has_tools) {
  const TemplateSource source = choose_template(folder, name_or_file, has_tools);
  ChatTemplate result = parse(source.text, source.name);
  result.impl_->special_tokens = read_special_tokens(folder);
  return result;
}

RenderedChat ChatTemplate::render(const ChatInput& input) const {
  std::size_t input_bytes = input.messages.size() + impl_->source.size();
  if (input.tools) input_bytes += input.tools->size();
  if (input.documents) input_bytes += input.documents->size();
  for (const auto& [name, json] : input.variables) input_bytes += name.size() + json.size();
  jinja::Heap heap(jinja::Limits::for_input(input_bytes));
  try {
    jinja::Interpreter::Variables variables;
    for (const auto& [name, token] : impl_->special_tokens) {
      variables.emplace_back(name, heap.string(token));
    }
    for (const auto& [name, json] : input.variables) {
      variables.emplace_back(name, read_values(heap, json, "variable " + quoted_name(name)));
    }
    const auto list = [&](const std::optional<std::string>& json, const char* what) {
      if (!json) return jinja::Value();
      const jinja::Value value = read_values(heap, *json, what);
      if (!value.is(jinja::Kind::list) && !value.is(jinja::Kind::none)) {
        fail(ErrorCode::invalid_argument, "{}: expected a list, got {}", what,
             jinja::type_name(value));
      }
      return value;
    };
    variables.emplace_back("messages",
                           prepared_messages(heap, read_values(heap, input.messages, "messages")));
    variables.emplace_back("tools", list(input.tools, "tools"));
    variables.emplace_back("documents", list(input.documents, "documents"));
    variables.emplace_back("add_generation_prompt", jinja::Value::of(input.add_generation_prompt));
    jinja::Interpreter interpreter(impl_->program, heap, day_of(input.date));
    const jinja::Text text = interpreter.render(variables);
    RenderedChat chat;
    chat.text = text.bytes();
    for (const auto& range : text.untrusted()) chat.untrusted.push_back({range.begin, range.end});
    return chat;
  } catch (const jinja::Failure& failure) {
    rethrow(failure, impl_->name, true);
  }
}

std::vector<std::int32_t> ChatTemplate::encode(const Tokenizer& tokenizer, const RenderedChat& chat,
                                               bool parse_special_in_messages) const {
  EncodeOptions options;
  options.add_bos = false;
  if (!parse_special_in_messages) {
    options.plain_ranges = chat.untrusted;
    options.control_text = impl_->literals;
  }
  return tokenizer.encode(chat.text, options);
}

}  // namespace quern
