#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/value/text.h"

namespace quern::jinja {

enum class Kind : std::uint8_t {
  undefined,
  none,
  boolean,
  integer,
  floating,
  string,
  list,
  tuple,
  dict,
  range,
  iterator,    ///< a generator of Python: read once
  dict_view,   ///< dict.keys(), values(), items()
  name_space,  ///< namespace()
  loop,
  callable,
  slice,  ///< what stands between the brackets of x[a:b:c]
};

/// What values point to. The heap of a rendering owns all of them until its end.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;
};

struct Undefined;
struct String;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

/// A value of a template, with Python's semantics: a kind and a number or a pointer.
class Value {
 public:
  Value() = default;  ///< None
  static Value of(bool value) {
    Value v(Kind::boolean);
    v.integer_ = value ? 1 : 0;
    return v;
  }
  static Value of(std::int64_t value) {
    Value v(Kind::integer);
    v.integer_ = value;
    return v;
  }
  static Value of(double value) {
    Value v(Kind::floating);
    v.floating_ = value;
    return v;
  }
  static Value of(Kind kind, Object* object) {
    Value v(kind);
    v.object_ = object;
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_integral() const { return kind_ == Kind::integer || kind_ == Kind::boolean; }
  bool is_number() const { return is_integral() || kind_ == Kind::floating; }
  /// A list, tuple, range, iterator or dict view: what lies in a List.
  bool has_items() const {
    return kind_ == Kind::list || kind_ == Kind::tuple || kind_ == Kind::range ||
           kind_ == Kind::iterator || kind_ == Kind::dict_view;
  }

  bool boolean() const { return integer_ != 0; }
  std::int64_t integer() const { return integer_; }
  /// Of any number.
  double number() const {
    return kind_ == Kind::floating ? floating_ : static_cast<double>(integer_);
  }
  Object* object() const { return object_; }
  const Undefined& undefined() const;
  const Text& text() const;
  List& list() const;
  Dict& dict() const;
  Namespace& name_space() const;
  Loop& loop() const;
  const Callable& callable() const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::none;
  union {
    std::int64_t integer_ = 0;
    double floating_;
    Object* object_;
  };
};

struct Undefined final : Object {
  std::string message;     ///< what using it says
  bool is_unsafe = false;  ///< the sandbox keeps it from the template
};

struct String final : Object {
  explicit String(Text t) : text(std::move(t)) {}
  const Text text;
};

struct List final : Object {
  std::vector<Value> items;
  std::size_t next = 0;         ///< of an iterator
  const char* view = "";        ///< of a dict view: "dict_items"
  std::int64_t bounds[3] = {};  ///< of a range, and of a slice's integers
};

/// Keeps the order of insertion. Keys are equal as in Python: 1 == 1.0 == True.
struct Dict final : Object {
  std::vector<std::pair<Value, Value>> entries;

  const Value* find(std::string_view key) const;
  /// Errors (TypeError): a key that has no hash.
  const Value* find(const Value& key) const;
  void set(const Value& key, const Value& value);

 private:
  std::map<std::string, std::size_t, std::less<>> index_;  // once there are several
};

struct Namespace final : Object {
  Dict attributes;
};

inline const Undefined& Value::undefined() const { return *static_cast<Undefined*>(object_); }
inline const Text& Value::text() const { return static_cast<String*>(object_)->text; }
inline List& Value::list() const { return *static_cast<List*>(object_); }
inline Dict& Value::dict() const { return *static_cast<Dict*>(object_); }
inline Namespace& Value::name_space() const { return *static_cast<Namespace*>(object_); }

/// type(value).__name__.
const char* type_name(const Value& value);
bool is_true(const Value& value);

// The errors of Python and Jinja that a template may end with; the interpreter adds the line.
[[noreturn]] void type_error(const std::string& message);
[[noreturn]] void value_error(const std::string& message);
[[noreturn]] void undefined_error(const Value& undefined);
/// What our engine does not have.
[[noreturn]] void unsupported(const std::string& what);

/// a == b. Errors: nested too deep.
bool equals(const Value& a, const Value& b, int depth = 0);
/// a < b by Python's order: -1, 0, 1, or 2 where a NaN has none. Errors (TypeError): kinds without
/// an order.
int compare(const Value& a, const Value& b, const char* op, int depth = 0);

inline constexpr int kMaxValueDepth = 100;
[[noreturn]] void too_deep();

}  // namespace quern::jinja
