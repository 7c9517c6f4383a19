#include "chat/jinja/value/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chat/jinja/failure.h"
#include "chat/jinja/value/number.h"

namespace quern::jinja {
namespace {

constexpr std::size_t kMaxPlainEntries = 8;  // searched one by one

/// Equal for keys that Python takes for the same one.
void append_key(const Value& key, std::string& out, int depth) {
  if (depth > kMaxValueDepth) too_deep();
  switch (key.kind()) {
    case Kind::string:
      out += 's';
      out += key.text().bytes();
      return;
    case Kind::none:
      out += 'n';
      return;
    case Kind::boolean:
    case Kind::integer:
      out += fmt::format("i{}", key.integer());
      return;
    case Kind::floating:
      if (const auto integer = to_integer(key.number())) {
        out += fmt::format("i{}", *integer);
      } else {
        out.append(1, 'f').append(float_repr(key.number()));
      }
      return;
    case Kind::tuple:
      out += '(';
      for (const Value& item : key.list().items) {
        std::string part;
        append_key(item, part, depth + 1);
        out += fmt::format("{}:{},", part.size(), part);
      }
      out += ')';
      return;
    case Kind::undefined:
      out += 'u';
      return;
    case Kind::list:
    case Kind::dict:
    case Kind::slice:
      type_error(fmt::format("unhashable type: '{}'", type_name(key)));
    default:
      out += fmt::format("o{}", static_cast<const void*>(key.object()));
  }
}

std::string key_of(const Value& key) {
  std::string out;
  append_key(key, out, 0);
  return out;
}

bool same_items(const List& a, const List& b, int depth) {
  if (a.items.size() != b.items.size()) return false;
  for (std::size_t i = 0; i < a.items.size(); ++i) {
    if (!equals(a.items[i], b.items[i], depth + 1)) return false;
  }
  return true;
}

bool same_entries(const Dict& a, const Dict& b, int depth) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(key);
    if (other == nullptr || !equals(value, *other, depth + 1)) return false;
  }
  return true;
}

}  // namespace

const Value* Dict::find(std::string_view key) const {
  if (index_.empty()) {
    for (const auto& [k, v] : entries) {
      if (k.is(Kind::string) && k.text().view() == key) return &v;
    }
    return nullptr;
  }
  const auto it = index_.find(std::string(1, 's').append(key));
  return it == index_.end() ? nullptr : &entries[it->second].second;
}

const Value* Dict::find(const Value& key) const {
  if (key.is(Kind::string)) return find(key.text().view());
  const std::string wanted = key_of(key);
  if (index_.empty()) {
    for (const auto& [k, v] : entries) {
      if (!k.is(Kind::string) && key_of(k) == wanted) return &v;
    }
    return nullptr;
  }
  const auto it = index_.find(wanted);
  return it == index_.end() ? nullptr : &entries[it->second].second;
}

void Dict::set(const Value& key, const Value& value) {
  if (const Value* found = find(key)) {
    const_cast<Value&>(*found) = value;  // of this object, which is not const here
    return;
  }
  entries.emplace_back(key, value);
  if (!index_.empty()) {
    index_.emplace(key_of(key), entries.size() - 1);
  } else if (entries.size() > kMaxPlainEntries) {
    for (std::size_t i = 0; i < entries.size(); ++i) index_.emplace(key_of(entries[i].first), i);
  }
}

const char* type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::floating:
      return "float";
    case Kind::string:
      return "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::range:
      return "range";
    case Kind::iterator:
      return "generator";
    case Kind::dict_view:
      return value.list().view;
    case Kind::name_space:
      return "Namespace";
    case Kind::loop:
      return "LoopContext";
    case Kind::callable:
      return "function";
    case Kind::slice:
      return "slice";
  }
  return "object";
}

bool is_true(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
    case Kind::integer:
      return value.integer() != 0;
    case Kind::floating:
      return value.number() != 0;
    case Kind::string:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict_view:
      return !value.list().items.empty();
    case Kind::dict:
      return !value.dict().entries.empty();
    default:
      return true;
  }
}

void type_error(const std::string& message) {
  fail_at(0, Failure::Kind::runtime, "TypeError: " + message);
}
void value_error(const std::string& message) {
  fail_at(0, Failure::Kind::runtime, "ValueError: " + message);
}
void undefined_error(const Value& undefined) {
  const Undefined& value = undefined.undefined();
  fail_at(0, Failure::Kind::runtime,
          (value.is_unsafe ? "SecurityError: " : "UndefinedError: ") + value.message);
}
void unsupported(const std::string& what) {
  fail_at(0, Failure::Kind::unsupported, what + " is not supported");
}
void too_deep() {
  fail_at(0, Failure::Kind::limit,
          fmt::format("stopped: values are nested deeper than {} levels", kMaxValueDepth));
}

bool equals(const Value& a, const Value& b, int depth) {
  if (depth > kMaxValueDepth) too_deep();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
    return compare_numbers(a, b) == 0;
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::string:
      return a.text().view() == b.text().view();
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
      return same_items(a.list(), b.list(), depth);
    case Kind::dict:
      return same_entries(a.dict(), b.dict(), depth);
    default:
      return a.object() == b.object();
  }
}

int compare(const Value& a, const Value& b, const char* op, int depth) {
  if (depth > kMaxValueDepth) too_deep();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is(Kind::undefined)) undefined_error(a);
  if (b.is(Kind::undefined)) undefined_error(b);
  if (a.is(Kind::string) && b.is(Kind::string)) {
    const int order = a.text().view().compare(b.text().view());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.kind() == b.kind() && (a.is(Kind::list) || a.is(Kind::tuple))) {
    const auto& left = a.list().items;
    const auto& right = b.list().items;
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equals(left[i], right[i], depth + 1)) return compare(left[i], right[i], op, depth + 1);
    }
    return left.size() < right.size() ? -1 : left.size() > right.size() ? 1 : 0;
  }
  type_error(fmt::format("'{}' not supported between instances of '{}' and '{}'", op, type_name(a),
                         type_name(b)));
}

}  // namespace quern::jinja
