#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "chat/jinja/value/value.h"

namespace quern::jinja {

/// repr() of a float: the shortest digits that give it back.
std::string float_repr(double value);

/// The integer that a float is equal to, if there is one within 64 bits.
std::optional<std::int64_t> to_integer(double value);

/// As compare(), exactly, also between integers and floats.
int compare_numbers(const Value& a, const Value& b);

/// Python's operators on numbers: + - * / // % **, by their first characters, '/' twice as 'f', **
/// as '^'. Errors: ZeroDivisionError; an integer beyond 64 bits is unsupported.
Value calculate(char op, const Value& a, const Value& b);

[[noreturn]] void too_large();

}  // namespace quern::jinja
