#pragma once

#include <cstdint>

#include "backend/cpu/integer/rounded_input.h"
#include "base/memory/tensor.h"
#include "weights/weight.h"

namespace quern::cpu {

/// out[r, c] = Σ_k a[r, k] · w[first + c, k] by products of integers, in one instruction set.
/// Shapes: a [rows, depth], w quantized with that depth, out [rows, cols] float32. With a scale for
/// each row the sum of a weight's group is exact, and one group's sum is multiplied by the product
/// of both scales; with a scale for each block of 32 inputs it is added up in float32.
using IntegerDot = void (*)(const RoundedInput& a, const Weight& weight, std::int64_t first,
                            const Tensor& out);

/// For every machine.
IntegerDot portable_integer_dot();
/// For AVX2 and FMA, or null where the machine or the build has none.
IntegerDot avx2_integer_dot();
/// For AVX-512 VNNI with 256-bit registers, or null likewise.
IntegerDot vnni_integer_dot();
/// The fastest for this machine.
IntegerDot integer_dot();

}  // namespace quern::cpu
