#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "chat/answer/json_scanner.h"
#include "chat/answer/tool_calls.h"
#include "quern/chat.h"

namespace quern {
namespace {

constexpr std::string_view kThink = "<think>";
constexpr std::string_view kThinkEnd = "</think>";
constexpr std::string_view kToolCallEnd = "</tool_call>";

std::string_view tool_marker(ToolCallFormat format) {
  switch (format) {
    case ToolCallFormat::hermes:
      return "<tool_call>";
    case ToolCallFormat::llama3:
      return "<|python_tag|>";
    case ToolCallFormat::mistral:
      return "[TOOL_CALLS]";
    case ToolCallFormat::none:
      break;
  }
  return {};
}

/// How many bytes at the end of `text` may be the beginning of `marker`.
std::size_t begun(std::string_view text, std::string_view marker) {
  for (std::size_t n = std::min(text.size(), marker.size()); n > 0; --n) {
    if (n < marker.size() && text.ends_with(marker.substr(0, n))) return n;
  }
  return 0;
}

std::size_t leading_newlines(std::string_view text) {
  return std::min(text.find_first_not_of('\n'), text.size());
}

}  // namespace

struct AnswerParser::Impl {
  enum class State { reasoning, content, call, after_call };

  explicit Impl(const AnswerOptions& given)
      : options(given),
        marker(tool_marker(given.tool_calls)),
        state(given.begins_in_reasoning && given.parse_reasoning ? State::reasoning
                                                                 : State::content) {}

  AnswerDelta run(std::string_view piece, bool ends) {
    AnswerDelta delta;
    pending += piece;
    at = 0;
    while (step(delta, ends)) {
    }
    pending.erase(0, at);
    return delta;
  }

  std::string_view rest() const { return std::string_view(pending).substr(at); }

  /// False once nothing more can be told from what is there.
  bool step(AnswerDelta& delta, bool ends) {
    switch (state) {
      case State::reasoning:
        return step_reasoning(delta, ends);
      case State::content:
        return step_content(delta, ends);
      case State::call:
        return step_call(delta, ends);
      case State::after_call:
        return step_after_call(ends);
    }
    return false;
  }

  bool step_reasoning(AnswerDelta& delta, bool ends) {
    if (skips_newlines) at += leading_newlines(rest());
    const std::size_t end = rest().find(kThinkEnd);
    std::string_view text = rest().substr(0, end);
    if (end == std::string_view::npos && !ends) {
      text.remove_suffix(begun(text, kThinkEnd));
    }
    std::size_t taken = text.size();
    while (!text.empty() && text.back() == '\n' && !(ends && end == std::string_view::npos)) {
      text.remove_suffix(1);
      if (end == std::string_view::npos) taken = text.size();
    }
    if (!text.empty()) skips_newlines = false;
    delta.reasoning += text;
    at += taken;
    if (end == std::string_view::npos) return false;
    at += kThinkEnd.size();
    state = State::content;
    skips_newlines = true;
    had_reasoning = true;
    return true;
  }

  /// Where the next tool call may begin in rest(), and how many bytes its marker has.
  std::pair<std::size_t, std::size_t> find_call() const {
    const std::string_view text = rest();
    std::pair<std::size_t, std::size_t> found{std::string_view::npos, 0};
    if (marker.empty()) return found;
    found = {text.find(marker), marker.size()};
    if (options.tool_calls == ToolCallFormat::llama3 && !has_content) {
      const std::size_t first = text.find_first_not_of(" \n");
      if (first != std::string_view::npos && text[first] == '{' && first < found.first) {
        found = {first, 0};
      }
    }
    return found;
  }

  bool step_content(AnswerDelta& delta, bool ends) {
    if (skips_newlines) at += leading_newlines(rest());
    if (options.parse_reasoning && !has_content && !had_reasoning) {
      const std::size_t first = std::min(rest().find_first_not_of(" \n"), rest().size());
      const std::string_view text = rest().substr(first);
      if (text.starts_with(kThink)) {
        at += first + kThink.size();
        state = State::reasoning;
        skips_newlines = true;
        return true;
      }
      if (!ends && kThink.starts_with(text)) return false;
    }
    const auto [begin, length] = find_call();
    std::string_view text = rest().substr(0, begin);
    const bool is_call = begin != std::string_view::npos;
    if (!is_call && !ends) {
      text.remove_suffix(begun(text, marker));
      // Line ends in front of a call belong to it.
      while (!marker.empty() && !text.empty() && text.back() == '\n') text.remove_suffix(1);
    }
    const std::size_t taken = is_call ? begin : text.size();
    while (is_call && !text.empty() && text.back() == '\n') text.remove_suffix(1);
    emit(delta, text);
    dropped = std::string(rest().substr(text.size(), taken - text.size()));
    at += taken;
    if (!is_call) return false;
    call_text.assign(rest().substr(0, length));
    at += length;
    state = State::call;
    scanner = JsonScanner();
    call_begin = call_text.size();
    return true;
  }

  void emit(AnswerDelta& delta, std::string_view text) {
    if (text.empty()) return;
    delta.content += text;
    skips_newlines = false;
    if (text.find_first_not_of(" \n") != std::string_view::npos) has_content = true;
  }

  bool step_call(AnswerDelta& delta, bool ends) {
    call_text += rest();
    at = pending.size();
    const std::string_view body = std::string_view(call_text).substr(call_begin);
    const JsonScanner::Status status =
        is_scanned ? JsonScanner::Status::complete : scanner.scan(body);
    if (status == JsonScanner::Status::incomplete && !ends) return false;
    if (status != JsonScanner::Status::complete) return refuse_call(delta);
    is_scanned = true;
    std::size_t end = scanner.end();
    if (options.tool_calls == ToolCallFormat::hermes) {
      // Behind the JSON stands the end tag; an answer that just ends does without it.
      const std::size_t tag = std::min(body.find_first_not_of(" \n", end), body.size());
      const std::string_view text = body.substr(tag);
      if (text.starts_with(kToolCallEnd)) {
        end = tag + kToolCallEnd.size();
      } else if (kToolCallEnd.starts_with(text)) {
        if (!ends) return false;
        if (!text.empty()) return refuse_call(delta);
      } else {
        return refuse_call(delta);
      }
    }
    auto calls = read_tool_calls(body.substr(0, scanner.end()));
    if (!calls) return refuse_call(delta);
    for (ToolCall& call : *calls) delta.tool_calls.push_back(std::move(call));
    put_back(call_begin + end);
    state = State::after_call;
    is_scanned = false;
    has_content = true;
    return true;
  }

  /// What of call_text lies behind `used` becomes pending again.
  void put_back(std::size_t used) {
    pending = call_text.substr(used);
    at = 0;
    call_text.clear();
  }

  bool refuse_call(AnswerDelta& delta) {
    is_scanned = false;
    // Its first byte is content for sure; the rest may hold another call.
    const std::string text = dropped + call_text.substr(0, std::max<std::size_t>(call_begin, 1));
    call_text.erase(0, std::max<std::size_t>(call_begin, 1));
    emit(delta, text);
    has_content = true;
    dropped.clear();
    put_back(0);
    state = State::content;
    return true;
  }

  bool step_after_call(bool ends) {
    const std::size_t first = std::min(rest().find_first_not_of(" \n;"), rest().size());
    if (first == rest().size() && !ends) return false;
    at += first;
    if (options.tool_calls == ToolCallFormat::llama3 && rest().starts_with('{')) {
      call_text.clear();
      call_begin = 0;
      scanner = JsonScanner();
      dropped.clear();
      state = State::call;
      return true;
    }
    state = State::content;
    return true;
  }

  AnswerOptions options;
  std::string_view marker;
  State state;
  std::string pending;    ///< not taken yet
  std::size_t at = 0;     ///< in pending: taken before
  std::string call_text;  ///< of a call that is being read, its marker in front
  std::size_t call_begin = 0;
  JsonScanner scanner;
  bool is_scanned = false;
  std::string dropped;  ///< line ends in front of call_text
  bool has_content = false;
  bool had_reasoning = false;
  bool skips_newlines = true;
};

AnswerParser::AnswerParser(const AnswerOptions& options) : impl_(std::make_unique<Impl>(options)) {
  impl_->skips_newlines = options.begins_in_reasoning;
}
AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;

AnswerDelta AnswerParser::push(std::string_view piece) { return impl_->run(piece, false); }
AnswerDelta AnswerParser::finish() { return impl_->run({}, true); }

ToolCallFormat tool_call_format(std::string_view template_source) {
  static constexpr std::array<std::pair<std::string_view, ToolCallFormat>, 4> kSigns = {{
      {"<tool_call>", ToolCallFormat::hermes},
      {"[TOOL_CALLS]", ToolCallFormat::mistral},
      {"<|python_tag|>", ToolCallFormat::llama3},
      {"\"parameters\": dictionary of argument name", ToolCallFormat::llama3},
  }};
  for (const auto& [sign, format] : kSigns) {
    if (template_source.find(sign) != std::string_view::npos) return format;
  }
  return ToolCallFormat::none;
}

}  // namespace quern
