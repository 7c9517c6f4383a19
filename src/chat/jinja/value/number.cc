#include "chat/jinja/value/number.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "chat/jinja/failure.h"

namespace quern::jinja {
namespace {

[[noreturn]] void division_by_zero(const char* what) {
  fail_at(0, Failure::Kind::runtime, std::string("ZeroDivisionError: ") + what);
}

double float_power(double base, double exponent) {
  if (base == 0 && exponent < 0) {
    division_by_zero("0.0 cannot be raised to a negative power");
  }
  if (base < 0 && std::isfinite(base) && std::isfinite(exponent) &&
      exponent != std::floor(exponent)) {
    unsupported("a complex number");
  }
  const double result = std::pow(base, exponent);
  if (std::isinf(result) && std::isfinite(base) && std::isfinite(exponent)) {
    fail_at(0, Failure::Kind::runtime, "OverflowError: (34, 'Numerical result out of range')");
  }
  return result;
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if (exponent & 1) {
      if (__builtin_mul_overflow(result, base, &result)) too_large();
    }
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) too_large();
  }
  return result;
}

double float_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double float_floor_division(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

Value calculate_integers(char op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  switch (op) {
    case '+':
      if (__builtin_add_overflow(a, b, &result)) too_large();
      return Value::of(result);
    case '-':
      if (__builtin_sub_overflow(a, b, &result)) too_large();
      return Value::of(result);
    case '*':
      if (__builtin_mul_overflow(a, b, &result)) too_large();
      return Value::of(result);
    case '/':
      if (b == 0) division_by_zero("division by zero");
      return Value::of(static_cast<double>(a) / static_cast<double>(b));
    case 'f':
      if (b == 0) division_by_zero("integer division or modulo by zero");
      if (b == -1) return calculate_integers('-', 0, a);
      result = a / b;
      if (a % b != 0 && (a < 0) != (b < 0)) --result;
      return Value::of(result);
    case '%':
      if (b == 0) division_by_zero("integer modulo by zero");
      if (b == -1) return Value::of(std::int64_t{0});
      result = a % b;
      if (result != 0 && (result < 0) != (b < 0)) result += b;
      return Value::of(result);
    default:
      if (b < 0) return Value::of(float_power(static_cast<double>(a), static_cast<double>(b)));
      return Value::of(integer_power(a, b));
  }
}

}  // namespace

void too_large() { unsupported("an integer beyond 64 bits"); }

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto scientific =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  std::string text(buffer, scientific.ptr);
  const std::size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) return text;
  const auto fixed = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed);
  text.assign(buffer, fixed.ptr);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::optional<std::int64_t> to_integer(double value) {
  if (!(value >= -0x1p63 && value < 0x1p63) || value != std::floor(value)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  }
  if (a.is_integral() || b.is_integral()) {
    // Exact: the integer against the whole part of the float, then its fraction.
    const bool swapped = b.is_integral();
    const std::int64_t integer = swapped ? b.integer() : a.integer();
    const double number = swapped ? a.number() : b.number();
    if (std::isnan(number)) return 2;
    int order = 0;
    if (number >= 0x1p63) {
      order = -1;
    } else if (number < -0x1p63) {
      order = 1;
    } else {
      const auto whole = static_cast<std::int64_t>(std::floor(number));
      order = integer < whole ? -1 : integer > whole ? 1 : number > std::floor(number) ? -1 : 0;
    }
    return swapped ? -order : order;
  }
  const double x = a.number();
  const double y = b.number();
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

Value calculate(char op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return calculate_integers(op, a.integer(), b.integer());
  const double x = a.number();
  const double y = b.number();
  switch (op) {
    case '+':
      return Value::of(x + y);
    case '-':
      return Value::of(x - y);
    case '*':
      return Value::of(x * y);
    case '/':
      if (y == 0) division_by_zero("float division by zero");
      return Value::of(x / y);
    case 'f':
      if (y == 0) division_by_zero("float floor division by zero");
      return Value::of(float_floor_division(x, y));
    case '%':
      if (y == 0) division_by_zero("float modulo");
      return Value::of(float_modulo(x, y));
    default:
      return Value::of(float_power(x, y));
  }
}

}  // namespace quern::jinja
