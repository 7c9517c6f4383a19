#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace quern {

/// Philox4x32-10, a counter-based generator: four random words per (key, counter), stateless.
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t right = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(right >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(right),
               static_cast<std::uint32_t>(left >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(left)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// The random word of token `token_id` when `sequence_index` of a request with `seed` draws the
/// token at `position`. One Philox call serves four consecutive ids, so a kernel may share it.
constexpr std::uint32_t draw_word(std::uint64_t seed, std::uint32_t sequence_index,
                                  std::uint32_t position, std::uint32_t token_id) {
  const auto words =
      philox4x32({token_id / 4, position, sequence_index, 0},
                 {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return words[token_id % 4];
}

/// A number in [0, 1) that belongs to no token, drawn for the token at `position`.
constexpr float uniform_of_step(std::uint64_t seed, std::uint32_t sequence_index,
                                std::uint32_t position) {
  constexpr std::uint32_t kNoToken = 0xFFFFFFFF;
  return static_cast<float>(draw_word(seed, sequence_index, position, kNoToken) >> 8) * 0x1p-24f;
}

/// A standard Gumbel variate from one word: -log(E) with E = -log(1 - v) exponential. Small v,
/// which give the large variates that win an argmax, keep their full relative precision. v < 1, so
/// the result is finite.
inline float gumbel(std::uint32_t word) {
  const float v = std::min((static_cast<float>(word) + 0.5f) * 0x1p-32f, 1.0f - 0x1p-24f);
  return -std::log(-std::log1p(-v));
}

}  // namespace quern
