#include "runtime/schedule/prefix_hash.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace quern {
namespace {

class SipState {
 public:
  explicit SipState(const PrefixHasher::Key& key)
      : v0_(key.first ^ 0x736f6d6570736575),
        v1_(key.second ^ 0x646f72616e646f6d ^ 0xee),  // 0xee: 128 bits of output
        v2_(key.first ^ 0x6c7967656e657261),
        v3_(key.second ^ 0x7465646279746573) {}

  void add(std::uint64_t word) {
    constexpr int kCompressionRounds = 2;
    v3_ ^= word;
    rounds(kCompressionRounds);
    v0_ ^= word;
  }

  PrefixHash finish() {
    constexpr int kFinalRounds = 4;
    v2_ ^= 0xee;
    rounds(kFinalRounds);
    const std::uint64_t low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    rounds(kFinalRounds);
    return {low, v0_ ^ v1_ ^ v2_ ^ v3_};
  }

 private:
  void rounds(int count) {
    for (int i = 0; i < count; ++i) {
      v0_ += v1_;
      v2_ += v3_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v1_;
      v0_ += v3_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace

PrefixHash PrefixHasher::hash(std::span<const std::byte> bytes) const {
  constexpr std::size_t kWordBytes = sizeof(std::uint64_t);
  SipState state(key_);
  std::size_t done = 0;
  for (; done + kWordBytes <= bytes.size(); done += kWordBytes) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + done, kWordBytes);
    state.add(word);
  }
  std::uint64_t last = std::uint64_t{bytes.size()} << 56;
  std::memcpy(&last, bytes.data() + done, bytes.size() - done);
  state.add(last);
  return state.finish();
}

PrefixHash PrefixHasher::root(const PrefixIdentity& identity) const {
  // By value, not as the struct lies in memory: padding has no value.
  const std::array<std::uint64_t, 6> words = {std::bit_cast<std::uint32_t>(identity.rope_alpha),
                                              static_cast<std::uint64_t>(identity.kv_format.keys),
                                              static_cast<std::uint64_t>(identity.kv_format.values),
                                              static_cast<std::uint64_t>(identity.kv_format.scales),
                                              identity.adapter,
                                              identity.request};
  return hash(std::as_bytes(std::span(words)));
}

PrefixHash PrefixHasher::block(const PrefixHash& parent,
                               std::span<const std::int32_t> token_ids) const {
  std::vector<std::byte> bytes(sizeof(parent) + token_ids.size_bytes());
  std::memcpy(bytes.data(), &parent, sizeof(parent));
  std::memcpy(bytes.data() + sizeof(parent), token_ids.data(), token_ids.size_bytes());
  return hash(bytes);
}

}  // namespace quern
