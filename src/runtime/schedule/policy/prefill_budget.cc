#include "runtime/schedule/policy/prefill_budget.h"

#include <algorithm>
#include <numeric>

namespace quern {
namespace {

/// Steps are limited to max_mixed_tokens while at least this many sequences decode per prompt in
/// prefill; with more prompts the decode batch would stay small for long. From a cost model of a
/// step; values from 2 to 8 hardly differ.
constexpr int kDecodingPerPrompt = 4;

}  // namespace

int step_token_budget(const Limits& limits, int num_decode, int num_prefill) {
  const bool mixes_few =
      num_prefill * kDecodingPerPrompt <= num_decode && num_decode < limits.max_mixed_tokens / 2;
  return mixes_few ? std::min(limits.max_mixed_tokens, limits.max_tokens_per_step)
                   : limits.max_tokens_per_step;
}

std::vector<int> share_prefill(std::span<const int> remaining, int room) {
  std::vector<int> shares(remaining.size());
  if (remaining.empty()) return shares;
  const auto give = [&](std::size_t index, int at_most) {
    const int count = std::min({remaining[index] - shares[index], room, at_most});
    shares[index] += count;
    room -= count;
  };
  give(0, room - room / 2);
  std::vector<std::size_t> by_length(remaining.size());
  std::iota(by_length.begin(), by_length.end(), std::size_t{0});
  std::ranges::stable_sort(by_length, {}, [&](std::size_t index) { return remaining[index]; });
  for (const std::size_t index : by_length) give(index, room);
  return shares;
}

}  // namespace quern
