#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "chat/jinja/builtins/tables.h"
#include "chat/jinja/run/interpreter.h"
#include "chat/jinja/value/number.h"
#include "chat/jinja/value/print.h"
#include "quern/text.h"

namespace quern::jinja {
namespace {

/// A bound of a slice, -1 or more.
Value slice_bound(const Value& value) {
  if (value.is(Kind::undefined)) undefined_error(value);
  if (!value.is(Kind::none) && !value.is_integral()) {
    type_error("slice indices must be integers or None or have an __index__ method");
  }
  return value;
}

}  // namespace

const std::vector<Value>& Interpreter::items(const Value& value) {
  static const std::vector<Value> none;
  switch (value.kind()) {
    case Kind::list:
    case Kind::tuple:
    case Kind::range:
    case Kind::dict_view:
      return value.list().items;
    case Kind::iterator: {
      List& source = value.list();
      if (source.next == 0) {
        source.next = source.items.size();
        return source.items;
      }
      std::vector<Value> rest(source.items.begin() + static_cast<std::ptrdiff_t>(source.next),
                              source.items.end());
      source.next = source.items.size();
      return heap_.list(std::move(rest)).list().items;
    }
    case Kind::dict: {
      std::vector<Value> keys;
      heap_.charge(value.dict().entries.size() * sizeof(Value));
      for (const auto& [key, entry] : value.dict().entries) keys.push_back(key);
      return heap_.list(std::move(keys)).list().items;
    }
    case Kind::string: {
      const Text& text = value.text();
      std::vector<Value> characters;
      for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at + 1;
        while (end < text.size() &&
               (static_cast<unsigned char>(text.bytes()[end]) & 0xC0U) == 0x80U) {
          ++end;
        }
        characters.push_back(heap_.string(text.part(at, end - at)));
        at = end;
      }
      return heap_.list(std::move(characters)).list().items;
    }
    case Kind::undefined:
      return none;
    default:
      type_error(fmt::format("'{}' object is not iterable", type_name(value)));
  }
}

Value Interpreter::sliced(const Value& object, const List& slice) {
  const bool is_text = object.is(Kind::string);
  const auto length =
      static_cast<std::int64_t>(is_text ? object.text().length() : object.list().items.size());
  const Value step_value = slice_bound(slice.items[2]);
  const std::int64_t step = step_value.is(Kind::none) ? 1 : step_value.integer();
  if (step == 0) value_error("slice step cannot be zero");
  // As PySlice_AdjustIndices.
  const auto bound = [&](const Value& given, std::int64_t otherwise) {
    if (given.is(Kind::none)) return otherwise;
    std::int64_t at = given.integer();
    if (at < 0) {
      at = at < -length ? -1 : at + length;
      if (at < 0) at = step < 0 ? -1 : 0;
    } else if (at >= length) {
      at = step < 0 ? length - 1 : length;
    }
    return at;
  };
  const std::int64_t begin = bound(slice_bound(slice.items[0]), step < 0 ? length - 1 : 0);
  const std::int64_t end = bound(slice_bound(slice.items[1]), step < 0 ? -1 : length);
  if (is_text && step == 1) {
    const Text& text = object.text();
    heap_.read(text.size());
    if (begin >= end) return heap_.string(Text());
    const std::size_t first = text.offset_of(static_cast<std::size_t>(begin));
    const std::size_t last = text.offset_of(static_cast<std::size_t>(end));
    return heap_.string(text.part(first, last - first));
  }
  const std::vector<Value>& all = items(object);
  std::vector<Value> chosen;
  for (std::int64_t i = begin; step > 0 ? i < end : i > end;) {
    chosen.push_back(all[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  if (!is_text)
    return heap_.list(std::move(chosen), object.is(Kind::tuple) ? Kind::tuple : Kind::list);
  Text text;
  for (const Value& character : chosen) text.append(character.text());
  return heap_.string(std::move(text));
}

Value Interpreter::indexed(const Value& object, const Value& key, bool& found) {
  found = true;
  if (object.is(Kind::dict)) {
    const bool has_hash = !key.is(Kind::list) && !key.is(Kind::dict) && !key.is(Kind::slice);
    if (const Value* value = has_hash ? object.dict().find(key) : nullptr) return *value;
    found = false;
    return {};
  }
  const bool is_sequence_here = object.is(Kind::string) || object.is(Kind::list) ||
                                object.is(Kind::tuple) || object.is(Kind::range);
  if (is_sequence_here && key.is(Kind::slice)) return sliced(object, key.list());
  if (is_sequence_here && key.is_integral()) {
    const bool is_text = object.is(Kind::string);
    if (is_text) heap_.read(object.text().is_ascii() ? 0 : object.text().size() * 4);
    const auto length =
        static_cast<std::int64_t>(is_text ? object.text().length() : object.list().items.size());
    std::int64_t index = key.integer();
    if (index < 0 && index >= -length) index += length;
    if (index >= 0 && index < length) {
      const auto at = static_cast<std::size_t>(index);
      if (!is_text) return object.list().items[at];
      const std::size_t begin = object.text().offset_of(at);
      return heap_.string(object.text().part(begin, object.text().offset_of(at + 1) - begin));
    }
  }
  found = false;
  return {};
}

Value Interpreter::item(const Value& object, const Value& key) {
  if (object.is(Kind::undefined)) undefined_error(object);
  bool found = false;
  const Value value = indexed(object, key, found);
  if (found) return value;
  if (key.is(Kind::string)) {
    return bound_attribute(object, key.text().view());
  }
  Text shown;
  print_repr(heap_, key, shown);
  return heap_.undefined(fmt::format("'{} object' has no element {}", type_name(object),
                                     shortened_text(shown.view(), 100)));
}

Value Interpreter::attribute(const Value& object, std::string_view attribute_name) {
  if (object.is(Kind::undefined)) undefined_error(object);
  // As Python: a method hides an entry of the same name.
  if (object.is(Kind::dict) && find_method(object, attribute_name) == nullptr &&
      !is_mutator(object, attribute_name)) {
    if (const Value* value = object.dict().find(attribute_name)) return *value;
  }
  return bound_attribute(object, attribute_name);
}

}  // namespace quern::jinja
