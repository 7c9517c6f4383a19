#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace quern {

/// a * b, or nothing on overflow or for a negative factor.
constexpr std::optional<std::int64_t> checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// The product of all sizes (1 for none), or nothing on overflow or for a negative size.
std::optional<std::int64_t> checked_numel(std::span<const std::int64_t> sizes);

/// "[2, 3]", as Python prints a shape.
std::string shape_string(std::span<const std::int64_t> sizes);

/// The next multiple of `alignment`, a power of two.
constexpr std::size_t align_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

/// ceil(a / b) for a >= 0 and b > 0.
template <typename T>
constexpr T ceil_div(T a, T b) {
  return static_cast<T>(a / b + (a % b != 0 ? 1 : 0));
}

}  // namespace quern
