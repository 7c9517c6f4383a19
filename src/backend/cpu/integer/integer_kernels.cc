#include "backend/cpu/integer/integer_kernels.h"

#include <algorithm>

#define QUERN_TARGET  // the build's target

#include "backend/cpu/integer/integer_products.h"

namespace quern::cpu {
namespace {

/// Arrays, for the compiler to vectorize.
struct PortableIntegers {
  struct Ints {
    std::int32_t lanes[8];
  };
  struct Floats {
    float lanes[8];
  };
  struct Block {
    std::int32_t elements[kIntegerBlock];
  };
  static constexpr int kMaxRows = 1;

  static Ints zero_ints() { return {}; }
  static Floats zero_floats() { return {}; }
  static Block load_inputs(const std::int8_t* source) {
    Block block;
    std::copy_n(source, kIntegerBlock, block.elements);
    return block;
  }
  template <typename T>
  static Block load(const std::uint8_t* source) {
    Block block;
    for (int i = 0; i < kIntegerBlock; ++i) {
      constexpr int kHalf = kIntegerBlock / 2;
      block.elements[i] = T::kPerByte == 1 ? source[i]
                          : i < kHalf      ? source[i] & 0xf
                                           : source[i - kHalf] >> 4;
    }
    return block;
  }
  static Ints dot(Ints sums, const Block& values, const Block& inputs) {
    for (int i = 0; i < kIntegerBlock; ++i) {
      sums.lanes[i / 4] += values.elements[i] * inputs.elements[i];
    }
    return sums;
  }
  static Floats to_floats(const Ints& ints) {
    Floats floats;
    for (int i = 0; i < 8; ++i) floats.lanes[i] = static_cast<float>(ints.lanes[i]);
    return floats;
  }
  static Floats broadcast(float x) { return {x, x, x, x, x, x, x, x}; }
  static Floats multiply(Floats a, const Floats& b) {
    for (int i = 0; i < 8; ++i) a.lanes[i] *= b.lanes[i];
    return a;
  }
  static Floats fma(Floats a, const Floats& b, const Floats& c) {
    for (int i = 0; i < 8; ++i) a.lanes[i] = a.lanes[i] * b.lanes[i] + c.lanes[i];
    return a;
  }
  static float fma(float a, float b, float c) { return a * b + c; }
  static float widen(Half value) { return to_float(value); }
  static std::int64_t sum(const Ints& ints) {
    std::int64_t total = 0;
    for (const std::int32_t lane : ints.lanes) total += lane;
    return total;
  }
  static float sum(const Floats& floats) {
    float total = 0.0f;
    for (const float lane : floats.lanes) total += lane;
    return total;
  }
};

}  // namespace

IntegerDot portable_integer_dot() { return integer_dot_with<PortableIntegers>; }

IntegerDot integer_dot() {
  static const IntegerDot best = vnni_integer_dot() != nullptr   ? vnni_integer_dot()
                                 : avx2_integer_dot() != nullptr ? avx2_integer_dot()
                                                                 : portable_integer_dot();
  return best;
}

}  // namespace quern::cpu
