#pragma once

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quern::testing {

/// The SHA-256 of some bytes in hexadecimal digits. Source: FIPS 180-4.
inline std::string sha256(std::span<const std::byte> content) {
  // The first 32 bits of the fractions of the cube and square roots of the first primes.
  std::array<std::uint32_t, 64> constants{};
  std::array<std::uint32_t, 8> state{};
  for (int prime = 2, found = 0; found < 64; ++prime) {
    bool is_prime = true;
    for (int divisor = 2; divisor * divisor <= prime; ++divisor) is_prime &= prime % divisor != 0;
    if (!is_prime) continue;
    const auto bits = [](long double root) {
      return static_cast<std::uint32_t>((root - std::floor(root)) * 4294967296.0L);
    };
    if (found < 8) state[found] = bits(std::sqrt(static_cast<long double>(prime)));
    constants[found++] = bits(std::cbrt(static_cast<long double>(prime)));
  }
  std::vector<std::uint8_t> message;
  message.reserve(content.size() + 72);
  for (const std::byte byte : content) message.push_back(std::to_integer<std::uint8_t>(byte));
  message.push_back(0x80);
  while (message.size() % 64 != 56) message.push_back(0);
  for (int shift = 56; shift >= 0; shift -= 8) {
    message.push_back(static_cast<std::uint8_t>(std::uint64_t{content.size()} * 8 >> shift));
  }
  for (std::size_t block = 0; block < message.size(); block += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 64; ++i) {
      if (i < 16) {
        for (std::size_t j = 0; j < 4; ++j) w[i] = w[i] << 8 | message[block + 4 * i + j];
        continue;
      }
      const std::uint32_t a = w[i - 15];
      const std::uint32_t b = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) +
             (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
    }
    std::array<std::uint32_t, 8> s = state;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t sum1 = std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25);
      const std::uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
      const std::uint32_t t1 = s[7] + sum1 + choice + constants[i] + w[i];
      const std::uint32_t sum0 = std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22);
      const std::uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
      s = {t1 + sum0 + majority, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) state[i] += s[i];
  }
  std::string digits;
  for (const std::uint32_t word : state) digits += fmt::format("{:08x}", word);
  return digits;
}

}  // namespace quern::testing
