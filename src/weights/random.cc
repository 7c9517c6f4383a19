#include "weights/random.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/half.h"
#include "base/philox.h"

namespace quern {
namespace {

constexpr std::int64_t kDrawsPerCounter = 16;

/// Sequential draws of one key; a counter's words are generated once.
class Draws {
 public:
  explicit Draws(std::uint64_t key)
      : key_{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)} {}

  std::int8_t operator()(std::int64_t number) {
    const auto counter = static_cast<std::uint64_t>(number / kDrawsPerCounter);
    if (counter != counter_) {
      counter_ = counter;
      words_ = philox4x32(
          {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
          key_);
    }
    const auto byte = static_cast<unsigned>(number % kDrawsPerCounter);
    return static_cast<std::int8_t>(words_[byte / 4] >> (byte % 4 * 8));
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint64_t counter_ = UINT64_MAX;
  std::array<std::uint32_t, 4> words_{};
};

}  // namespace

std::uint64_t random_key(std::uint64_t seed, std::string_view weight_name) {
  std::uint64_t hash = 0xcbf29ce484222325u ^ seed;
  for (const char letter : weight_name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  }
  return hash;
}

void fill_random(const RandomRun& run, DType dtype, std::byte* weight) {
  std::array<float, 4096> block;
  Draws draws(run.key);
  const int dropped_bits = 8 - run.bits;
  const std::size_t element_bytes = dtype_bytes(dtype);
  for (std::int64_t begin = 0; begin < run.count; begin += std::ssize(block)) {
    const std::span<float> values(block.data(), std::min(run.count - begin, std::ssize(block)));
    std::int64_t number = run.source + begin * run.stride;
    for (float& value : values) {
      const int integer = 2 * (draws(number) >> dropped_bits) + 1;
      value = run.offset + run.scale * static_cast<float>(integer);
      number += run.stride;
    }
    std::byte* destination = weight + (run.first + begin * run.stride) * element_bytes;
    if (run.stride == 1) {
      store_floats(dtype, values, destination);
      continue;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      store_floats(dtype, values.subspan(i, 1),
                   destination + i * static_cast<std::size_t>(run.stride) * element_bytes);
    }
  }
}

}  // namespace quern
