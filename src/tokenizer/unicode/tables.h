#pragma once

#include <cstdint>

#include "tokenizer/unicode/unicode.h"

/// The tables that generate_tables.py wrote.
namespace quern::unicode_tables {

struct CategoryRun {
  std::uint32_t first;
  Category value;
};
struct ValueRun {
  std::uint32_t first;
  std::uint8_t value;
};
struct OffsetRun {
  std::uint32_t first;
  std::int32_t value;
};
struct Decomposition {
  std::uint32_t code_point;
  std::uint16_t begin;
  std::uint8_t length;
  std::uint8_t compatible;
};
struct Composition {
  std::uint32_t first;
  std::uint32_t second;
  std::uint32_t composed;
};

using enum Category;  // the rows name the categories alone
#include "tokenizer/unicode/unicode_data.inc"

}  // namespace quern::unicode_tables
