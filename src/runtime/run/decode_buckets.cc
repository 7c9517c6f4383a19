#include "runtime/run/decode_buckets.h"

#include <algorithm>

#include "base/check.h"

namespace quern {
namespace {

/// Larger batches have a single context bucket: they fill a GPU with any context.
constexpr int kMostSeqsByContext = 64;
/// The shortest context bucket; further ones double.
constexpr int kMinKvLen = 256;
/// A batch size with a bucket of its own where the limit allows: GEMM tiles of 8 rows need no
/// padding for it.
constexpr int kBetweenPowers[] = {24, 48};

/// Powers of two from `first` to `last`, and `last`.
std::vector<int> doubled(int first, int last) {
  std::vector<int> values;
  for (std::int64_t value = first; value < last; value *= 2) {
    values.push_back(static_cast<int>(value));
  }
  values.push_back(last);
  return values;
}

/// At most `count` of the values, evenly spaced, including the last.
std::vector<int> thinned(const std::vector<int>& values, std::size_t count) {
  if (values.size() <= count) return values;
  std::vector<int> kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    kept.push_back(values[i * (values.size() - 1) / (count - 1)]);
  }
  kept.push_back(values.back());
  return kept;
}

/// Batch sizes above kMostSeqsByContext: two per doubling, since padding to twice the rows would
/// cost up to twice the time there.
std::vector<int> large_batches(int max_seqs) {
  std::vector<int> sizes;
  for (std::int64_t size = kMostSeqsByContext; size < max_seqs; size *= 2) {
    for (const std::int64_t next : {size + size / 2, 2 * size}) {
      sizes.push_back(static_cast<int>(std::min<std::int64_t>(next, max_seqs)));
      if (next >= max_seqs) break;
    }
  }
  return sizes;
}

}  // namespace

DecodeBuckets::DecodeBuckets(int max_seqs, int max_seq_len)
    : num_seqs_(doubled(1, std::min(max_seqs, kMostSeqsByContext))) {
  QUERN_CHECK(max_seqs >= 1 && max_seq_len >= 1);
  const std::vector<int> large = large_batches(max_seqs);
  const std::size_t room = kMaxShapes - large.size();
  kv_lens_ = thinned(doubled(kMinKvLen, max_seq_len), room / num_seqs_.size());
  for (const int size : kBetweenPowers) {
    const bool fits = (num_seqs_.size() + 1) * kv_lens_.size() <= room;
    if (size < std::min(max_seqs, kMostSeqsByContext) && fits) num_seqs_.push_back(size);
  }
  num_seqs_.insert(num_seqs_.end(), large.begin(), large.end());
  std::sort(num_seqs_.begin(), num_seqs_.end());
  num_seqs_.erase(std::unique(num_seqs_.begin(), num_seqs_.end()), num_seqs_.end());
}

std::span<const int> DecodeBuckets::kv_lens(int num_seqs) const {
  const std::span<const int> all(kv_lens_);
  return num_seqs <= kMostSeqsByContext ? all : all.last(1);
}

std::vector<DecodeShape> DecodeBuckets::shapes() const {
  std::vector<DecodeShape> shapes;
  for (const int num_seqs : num_seqs_) {
    for (const int kv_len : kv_lens(num_seqs)) shapes.push_back({num_seqs, kv_len});
  }
  return shapes;
}

DecodeShape DecodeBuckets::shape_for(int num_seqs, int kv_len) const {
  QUERN_CHECK(!empty() && num_seqs >= 1 && num_seqs <= num_seqs_.back());
  const int size = *std::lower_bound(num_seqs_.begin(), num_seqs_.end(), num_seqs);
  const auto lens = kv_lens(size);
  return {size, *std::lower_bound(lens.begin(), lens.end() - 1, kv_len)};
}

}  // namespace quern
