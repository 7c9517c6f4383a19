#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chat/jinja/failure.h"
#include "chat/jinja/value/value.h"

namespace quern::jinja {

/// What one rendering may use. The numbers grow with the size of its input, so that a long
/// conversation fits and a template that does not end stops soon.
struct Limits {
  std::int64_t max_steps = 250'000;
  std::size_t max_bytes = std::size_t{32} << 20;        ///< of values made, cumulative
  std::size_t max_output_bytes = std::size_t{8} << 20;  ///< of rendered text

  static Limits for_input(std::size_t input_bytes) {
    Limits limits;
    limits.max_steps += static_cast<std::int64_t>(input_bytes) * 50;
    limits.max_bytes += input_bytes * 512;
    limits.max_output_bytes += input_bytes * 16;
    return limits;
  }
};

/// Owns all values of one rendering and counts what it does. Nothing is freed before the end, so a
/// value is a plain pointer and cycles do no harm; what is made is limited.
class Heap {
 public:
  explicit Heap(const Limits& limits) : limits_(limits), steps_left_(limits.max_steps) {}

  /// Counts work. Errors: limit.
  void step(std::size_t steps = 1) {
    steps_left_ -= static_cast<std::int64_t>(steps);
    if (steps_left_ < 0) refuse_steps();
  }
  /// Counts memory that is about to be taken, and the work of filling it. Errors: limit.
  void charge(std::size_t bytes) {
    if (bytes > limits_.max_bytes - used_bytes_) refuse_bytes();
    used_bytes_ += bytes;
    step(bytes / kBytesPerStep);
  }
  /// Counts the work of reading bytes.
  void read(std::size_t bytes) { step(bytes / kBytesPerStep); }
  const Limits& limits() const { return limits_; }

  Value string(Text text) {
    charge(text.cost() + kObjectCost);
    return Value::of(Kind::string, keep(std::make_unique<String>(std::move(text))));
  }
  Value string(std::string text) { return string(Text(std::move(text))); }
  Value list(std::vector<Value> items, Kind kind = Kind::list) {
    charge(items.size() * sizeof(Value) + kObjectCost);
    auto list = std::make_unique<List>();
    list->items = std::move(items);
    return Value::of(kind, keep(std::move(list)));
  }
  Value dict() {
    charge(kObjectCost);
    return Value::of(Kind::dict, keep(std::make_unique<Dict>()));
  }
  void set(Dict& dict, const Value& key, const Value& value) {
    charge(kEntryCost);
    dict.set(key, value);
  }
  Value undefined(std::string message) {
    charge(message.size() + kObjectCost);
    auto value = std::make_unique<Undefined>();
    value->message = std::move(message);
    return Value::of(Kind::undefined, keep(std::move(value)));
  }
  template <typename T>
  T* make() {
    charge(sizeof(T));
    return static_cast<T*>(keep(std::make_unique<T>()));
  }

 private:
  static constexpr std::size_t kObjectCost = 64;
  static constexpr std::size_t kEntryCost = 128;
  static constexpr std::size_t kBytesPerStep = 128;

  Object* keep(std::unique_ptr<Object> object) {
    objects_.push_back(std::move(object));
    return objects_.back().get();
  }
  [[noreturn]] void refuse_steps() const;
  [[noreturn]] void refuse_bytes() const;

  Limits limits_;
  std::int64_t steps_left_;
  std::size_t used_bytes_ = 0;
  std::vector<std::unique_ptr<Object>> objects_;
};

}  // namespace quern::jinja
