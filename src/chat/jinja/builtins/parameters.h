#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "chat/jinja/value/callable.h"

namespace quern::jinja {

/// The arguments of a builtin by its parameters' names. Errors (TypeError): too many, unknown,
/// twice or missing ones.
class Parameters {
 public:
  Parameters(const char* function, const Arguments& arguments,
             std::initializer_list<std::string_view> names, std::size_t num_required = 0);

  bool has(std::size_t i) const { return values_[i] != nullptr; }
  Value get(std::size_t i, const Value& otherwise = Value()) const {
    return has(i) ? *values_[i] : otherwise;
  }
  /// Errors (TypeError): a value of another kind.
  std::int64_t integer(std::size_t i, std::int64_t otherwise) const;
  const Text& text(std::size_t i) const;
  bool flag(std::size_t i, bool otherwise) const {
    return has(i) ? is_true(*values_[i]) : otherwise;
  }
  /// Neither left out nor None.
  bool is_given(std::size_t i) const { return has(i) && !values_[i]->is(Kind::none); }

 private:
  static constexpr std::size_t kMax = 6;
  const char* function_;
  std::array<const Value*, kMax> values_{};
};

}  // namespace quern::jinja
