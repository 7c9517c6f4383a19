#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace quern {

__extension__ using Uint128 = unsigned __int128;

/// Random numbers of this process: keys of an untrusted file cannot be chosen to collide.
struct HashSeed {
  std::uint64_t base;
  std::uint64_t factor;

  static const HashSeed& get() {
    static const HashSeed seed = [] {
      std::random_device device;
      const auto draw = [&] { return std::uint64_t{device()} << 32 | device(); };
      return HashSeed{draw() >> 4 | 1, draw() | 1};
    }();
    return seed;
  }
};

/// A polynomial over 2^61 - 1 with a random base: strings that differ have equal values with a
/// probability of about length / 2^61. The values of prefixes combine, see `PrefixHashes`.
class PolynomialHash {
 public:
  static constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;

  static std::uint64_t multiply(std::uint64_t a, std::uint64_t b) {
    const auto product = static_cast<Uint128>(a) * b;
    const std::uint64_t sum =
        static_cast<std::uint64_t>(product & kPrime) + static_cast<std::uint64_t>(product >> 61);
    return sum >= kPrime ? sum - kPrime : sum;
  }
  /// Of a text with one more byte.
  static std::uint64_t append(std::uint64_t hash, char byte) {
    const std::uint64_t sum =
        multiply(hash, HashSeed::get().base % kPrime) + static_cast<unsigned char>(byte) + 1;
    return sum >= kPrime ? sum - kPrime : sum;
  }
  static std::uint64_t of(std::string_view text) {
    std::uint64_t hash = 0;
    for (const char byte : text) hash = append(hash, byte);
    return hash;
  }
};

/// A fast hash of a string for tables in memory: eight bytes at a time, multiplied by random
/// numbers.
inline std::uint64_t seeded_hash(std::string_view text) {
  const HashSeed& seed = HashSeed::get();
  const auto mix = [&](std::uint64_t hash, std::uint64_t word) {
    const auto product = static_cast<Uint128>(hash ^ word ^ seed.base) * seed.factor;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  std::uint64_t hash = text.size();
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    hash = mix(hash, word);
    text.remove_prefix(8);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, text.data(), text.size());
  return mix(mix(hash, word), seed.factor);
}

inline std::uint64_t seeded_hash(std::uint64_t key) {
  const HashSeed& seed = HashSeed::get();
  const auto product = static_cast<Uint128>(key ^ seed.base) * seed.factor;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace quern
