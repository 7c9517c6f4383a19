#include "base/memory/shape.h"

#include <fmt/format.h>

namespace quern {

std::optional<std::int64_t> checked_numel(std::span<const std::int64_t> sizes) {
  std::optional<std::int64_t> numel = 1;
  for (const std::int64_t size : sizes) {
    numel = checked_product(*numel, size);
    if (!numel) return std::nullopt;
  }
  return numel;
}

std::string shape_string(std::span<const std::int64_t> sizes) {
  return fmt::format("[{}]", fmt::join(sizes, ", "));
}

}  // namespace quern
