#include "chat/input_values.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <vector>

#include "base/error.h"
#include "io/json/json.h"

namespace quern {
namespace {

using jinja::Heap;
using jinja::Kind;
using jinja::Text;
using jinja::Value;

constexpr std::size_t kMaxDepth = 90;

/// Builds values from the events of nlohmann's parser.
class ValueBuilder {
 public:
  ValueBuilder(Heap& heap, const std::string& what) : heap_(heap), what_(what) {}

  Value root() const { return root_; }
  const std::string& failure() const { return failure_; }

  bool null() { return place(Value()); }
  bool boolean(bool value) { return place(Value::of(value)); }
  bool number_integer(std::int64_t value) { return place(Value::of(value)); }
  bool number_unsigned(std::uint64_t value) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(ErrorCode::unsupported, "{}: the integer {} is beyond 64 bits with a sign", what_,
           value);
    }
    return place(Value::of(static_cast<std::int64_t>(value)));
  }
  bool number_float(double value, const std::string& text) {
    if (text.find_first_of(".eE") == std::string::npos) {
      fail(ErrorCode::unsupported, "{}: the integer {} is beyond 64 bits", what_,
           shortened_text(text, 40));
    }
    return place(Value::of(value));
  }
  bool string(std::string& value) { return place(heap_.string(Text(std::move(value), true))); }
  bool binary(Json::binary_t& /*value*/) { return false; }
  bool start_object(std::size_t /*size*/) { return start(heap_.dict()); }
  bool start_array(std::size_t /*size*/) { return start(heap_.list({})); }
  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool key(std::string& name) {
    levels_.back().key = heap_.string(Text(std::move(name), true));
    return true;
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::json::exception& error) {
    failure_ = error.what();
    return false;
  }

 private:
  struct Level {
    Value container;
    Value key;
  };

  bool place(const Value& value) {
    if (levels_.empty()) {
      root_ = value;
    } else if (Level& level = levels_.back(); level.container.is(Kind::dict)) {
      heap_.set(level.container.dict(), level.key, value);
    } else {
      heap_.charge(2 * sizeof(Value));
      level.container.list().items.push_back(value);
    }
    return true;
  }
  bool start(const Value& container) {
    if (levels_.size() >= kMaxDepth) {
      fail(ErrorCode::invalid_argument, "{}: nested deeper than {} levels", what_, kMaxDepth);
    }
    place(container);
    levels_.push_back({container, Value()});
    return true;
  }
  bool end() {
    levels_.pop_back();
    return true;
  }

  Heap& heap_;
  const std::string& what_;
  Value root_;
  std::vector<Level> levels_;
  std::string failure_;
};

bool is_plain_word(std::string_view text) {
  constexpr std::size_t kMaxRoleBytes = 64;
  return text.size() <= kMaxRoleBytes && std::all_of(text.begin(), text.end(), [](char c) {
           return c == '_' || c == '-' || std::isalnum(static_cast<unsigned char>(c)) != 0;
         });
}

/// A message without its null keys, and its reasoning under all of its names.
Value prepared_message(Heap& heap, const Value& message) {
  static constexpr std::string_view kReasoning[] = {"reasoning_content", "thinking", "reasoning"};
  const Value* reasoning = nullptr;
  for (const std::string_view name : kReasoning) {
    const Value* found = message.dict().find(name);
    if (reasoning == nullptr && found != nullptr && !found->is(Kind::none)) reasoning = found;
  }
  const Value result = heap.dict();
  const auto set = [&](std::string_view name, const Value& value) {
    heap.set(result.dict(), heap.string(std::string(name)), value);
  };
  if (reasoning != nullptr) set("thinking", *reasoning);
  for (const auto& [key, value] : message.dict().entries) {
    if (value.is(Kind::none)) continue;
    const bool is_word =
        key.text().view() == "role" && value.is(Kind::string) && is_plain_word(value.text().view());
    heap.set(result.dict(), key, is_word ? heap.string(value.text().bytes()) : value);
  }
  if (reasoning != nullptr) set("reasoning_content", *reasoning);
  return result;
}

}  // namespace

Value read_values(Heap& heap, std::string_view json, const std::string& what) {
  if (json.find('\0') != std::string_view::npos) {
    fail(ErrorCode::invalid_argument, "{}: not valid JSON: a zero byte", what);
  }
  ValueBuilder builder(heap, what);
  if (!Json::sax_parse(json, &builder)) {
    constexpr std::size_t kMaxReasonBytes = 200;
    std::string reason = replace_invalid_utf8(builder.failure());
    if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
    fail(ErrorCode::invalid_argument, "{}: not valid JSON: {}", what,
         shortened_text(reason, kMaxReasonBytes));
  }
  return builder.root();
}

Value prepared_messages(Heap& heap, const Value& messages) {
  if (!messages.is(Kind::list)) {
    fail(ErrorCode::invalid_argument, "messages: expected a list of messages, got {}",
         jinja::type_name(messages));
  }
  if (messages.list().items.empty()) {
    fail(ErrorCode::invalid_argument, "messages: expected at least one message, got none");
  }
  std::vector<Value> prepared;
  for (const Value& message : messages.list().items) {
    if (!message.is(Kind::dict)) {
      fail(ErrorCode::invalid_argument, "messages: message {}: expected an object, got {}",
           prepared.size() + 1, jinja::type_name(message));
    }
    prepared.push_back(prepared_message(heap, message));
  }
  return heap.list(std::move(prepared));
}

}  // namespace quern
