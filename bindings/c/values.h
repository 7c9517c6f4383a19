#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/dtype.h"
#include "quern/quern.h"

// Single values from C and back.

namespace quern::c {

inline std::string_view text_of(quern_string text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}
inline quern_string view_of(const std::string& text) { return {text.c_str(), text.size()}; }

inline std::span<const std::int32_t> ids_of(quern_token_ids ids) {
  return ids.count == 0 ? std::span<const std::int32_t>() : std::span(ids.ids, ids.count);
}
inline quern_token_ids view_of(const std::vector<std::int32_t>& ids) {
  return {ids.data(), ids.size()};
}

inline std::optional<int> value_of(quern_optional_int value) {
  return value.is_set != 0 ? std::optional<int>(value.value) : std::nullopt;
}
inline std::optional<float> value_of(quern_optional_float value) {
  return value.is_set != 0 ? std::optional<float>(value.value) : std::nullopt;
}
inline quern_optional_float optional_of(std::optional<float> value) {
  return {value ? 1 : 0, value.value_or(0.0f)};
}

/// `given`, or where it is 0 the default.
inline int or_default(std::int32_t given, int otherwise) { return given == 0 ? otherwise : given; }

/// Errors: invalid_argument naming `field` for a number that is no choice.
std::optional<bool> choice_of(quern_choice choice, const char* field);
std::optional<DType> dtype_of(quern_dtype dtype, const char* field);
quern_dtype dtype_to_c(std::optional<DType> dtype);

/// Throws invalid_argument: "'field': expected a number from 0 to `last`, got `value`", unless it
/// is.
void check_enum(std::int32_t value, std::int32_t last, const char* field);

// Copies in memory of malloc, for quern_free. Errors: std::bad_alloc.
char* copy_text(std::string_view text);
std::int32_t* copy_ids(std::span<const std::int32_t> ids);

}  // namespace quern::c
