#include "runtime/schedule/prefix_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

namespace quern {
namespace {

constexpr PrefixHasher::Key kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

/// The key and the messages 00 01 02 … of the reference implementation's test vectors.
PrefixHash hash_of_length(std::size_t length) {
  std::vector<unsigned char> message(length);
  std::iota(message.begin(), message.end(), static_cast<unsigned char>(0));
  return PrefixHasher(kKey).hash(std::as_bytes(std::span(message)));
}

TEST(PrefixHasher, GivesTheTestVectorsOfSipHash) {
  EXPECT_EQ(hash_of_length(0), (PrefixHash{0xe6a825ba047f81a3, 0x930255c71472f66d}));
  EXPECT_EQ(hash_of_length(1), (PrefixHash{0x44af996bd8c187da, 0x45fc229b11597634}));
}

TEST(PrefixHasher, DependsOnParentTokensAndIdentity) {
  const PrefixHasher hasher(kKey);
  const std::array<std::int32_t, 3> ids = {1, 2, 3};
  const std::array<std::int32_t, 3> others = {1, 2, 4};
  const PrefixIdentity plain;
  PrefixIdentity scaled, narrow, adapted;
  scaled.rope_alpha = 3.0f;
  narrow.kv_format = unscaled_kv_format(DType::float16);
  adapted.adapter = 1;
  const PrefixHash first = hasher.block(hasher.root(plain), ids);
  EXPECT_EQ(first, hasher.block(hasher.root(plain), ids));
  EXPECT_FALSE(first == hasher.block(hasher.root(plain), others));
  EXPECT_FALSE(first == hasher.block(first, ids));
  for (const PrefixIdentity& other : {scaled, narrow, adapted}) {
    EXPECT_FALSE(hasher.root(plain) == hasher.root(other));
  }
  EXPECT_FALSE(first == PrefixHasher({1, 2}).block(hasher.root(plain), ids)) << "another key";
}

}  // namespace
}  // namespace quern
