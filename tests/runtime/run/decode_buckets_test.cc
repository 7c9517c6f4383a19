#include "runtime/run/decode_buckets.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace quern {
namespace {

std::vector<int> sizes_of(const DecodeBuckets& buckets) {
  std::vector<int> sizes;
  for (const DecodeShape& shape : buckets.shapes()) sizes.push_back(shape.num_seqs);
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  return sizes;
}

std::vector<int> kv_lens_of(const DecodeBuckets& buckets, int num_seqs) {
  std::vector<int> lens;
  for (const DecodeShape& shape : buckets.shapes()) {
    if (shape.num_seqs == num_seqs) lens.push_back(shape.max_kv_len);
  }
  return lens;
}

constexpr int kSeqLens[] = {1,    31,   255,  256,   257,   544,    1000,    1024,   2047,
                            2048, 2049, 8192, 32768, 40960, 131072, 1000000, 1 << 24};

std::vector<int> seq_limits() {
  std::vector<int> limits;
  for (int n = 1; n <= 300; ++n) limits.push_back(n);
  for (const int n : {511, 512, 513, 1000, 1024, 5000, 16383, 16384}) limits.push_back(n);
  return limits;
}

TEST(DecodeBuckets, AreFewAndServeEveryBatch) {
  for (const int max_seqs : seq_limits()) {
    for (const int max_seq_len : kSeqLens) {
      SCOPED_TRACE(::testing::Message() << max_seqs << " sequences of " << max_seq_len);
      const DecodeBuckets buckets(max_seqs, max_seq_len);
      const auto shapes = buckets.shapes();
      ASSERT_LE(std::ssize(shapes), DecodeBuckets::kMaxShapes);
      ASSERT_TRUE(std::is_sorted(shapes.begin(), shapes.end()));
      ASSERT_EQ(std::adjacent_find(shapes.begin(), shapes.end()), shapes.end());
      ASSERT_EQ(shapes.back(), (DecodeShape{max_seqs, max_seq_len})) << "nothing beyond the limits";
      for (int num_seqs = 1; num_seqs <= max_seqs; num_seqs += num_seqs < 300 ? 1 : 97) {
        for (int kv_len = 1; kv_len <= max_seq_len; kv_len += 1 + kv_len / 3) {
          const DecodeShape shape = buckets.shape_for(num_seqs, kv_len);
          ASSERT_TRUE(std::binary_search(shapes.begin(), shapes.end(), shape));
          ASSERT_GE(shape.num_seqs, num_seqs);
          ASSERT_GE(shape.max_kv_len, kv_len);
          // The smallest: no shape between.
          for (const DecodeShape& other : shapes) {
            ASSERT_FALSE(other.num_seqs >= num_seqs && other.num_seqs < shape.num_seqs);
            ASSERT_FALSE(other.num_seqs == shape.num_seqs && other.max_kv_len >= kv_len &&
                         other.max_kv_len < shape.max_kv_len);
          }
        }
      }
    }
  }
}

TEST(DecodeBuckets, PaddingIsLessThanTheBatchAndAHalfOfLargeOnes) {
  for (const int max_seqs : seq_limits()) {
    const DecodeBuckets buckets(max_seqs, 2048);
    for (int num_seqs = 1; num_seqs <= max_seqs; ++num_seqs) {
      const int padded = buckets.shape_for(num_seqs, 1).num_seqs;
      ASSERT_LT(padded, 2 * num_seqs) << max_seqs;
      if (num_seqs <= 64) continue;
      ASSERT_LE(2 * padded, 3 * num_seqs) << num_seqs << " of " << max_seqs;
    }
  }
}

TEST(DecodeBuckets, UsualSizesAreNotPadded) {
  for (const int max_seqs : seq_limits()) {
    const DecodeBuckets buckets(max_seqs, 8192);
    for (const int size : {1, 2, 4, 8, 16, 32, 64, 128, 256, max_seqs}) {
      if (size > max_seqs) continue;
      ASSERT_EQ(buckets.shape_for(size, 1).num_seqs, size) << max_seqs;
    }
  }
}

TEST(DecodeBuckets, SomeLimitsForTheReader) {
  EXPECT_EQ(sizes_of(DecodeBuckets(8, 2048)), (std::vector<int>{1, 2, 4, 8}));
  EXPECT_EQ(kv_lens_of(DecodeBuckets(8, 2048), 4), (std::vector<int>{256, 512, 1024, 2048}));
  EXPECT_EQ(sizes_of(DecodeBuckets(64, 544)), (std::vector<int>{1, 2, 4, 8, 16, 24, 32, 48, 64}));
  EXPECT_EQ(kv_lens_of(DecodeBuckets(64, 544), 64), (std::vector<int>{256, 512, 544}));
  EXPECT_EQ(sizes_of(DecodeBuckets(64, 8192)), (std::vector<int>{1, 2, 4, 8, 16, 24, 32, 64}));
  EXPECT_EQ(kv_lens_of(DecodeBuckets(64, 8192), 8), (std::vector<int>{256, 512, 2048, 8192}));
  EXPECT_EQ(sizes_of(DecodeBuckets(300, 2048)),
            (std::vector<int>{1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 300}));
  EXPECT_EQ(kv_lens_of(DecodeBuckets(300, 2048), 96), (std::vector<int>{2048}));
  EXPECT_EQ(DecodeBuckets(1, 100).shapes(), (std::vector<DecodeShape>{{1, 100}}));
}

TEST(DecodeBuckets, AContextBeyondTheLimitCountsAsTheLimit) {
  EXPECT_EQ(DecodeBuckets(4, 1000).shape_for(3, 1001), (DecodeShape{4, 1000}));
}

TEST(DecodeBuckets, NoneByDefault) {
  EXPECT_TRUE(DecodeBuckets().empty());
  EXPECT_TRUE(DecodeBuckets().shapes().empty());
}

}  // namespace
}  // namespace quern
