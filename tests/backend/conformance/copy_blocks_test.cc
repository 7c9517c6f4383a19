#include <algorithm>
#include <deque>
#include <numeric>
#include <optional>
#include <random>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "tests/support/expect_error.h"

namespace quern::testing {
namespace {

/// A cache of random bytes and its expected content.
class CacheUnderTest {
 public:
  CacheUnderTest(Backend& backend, KvCacheView shape) : backend_(backend), view_(shape) {
    const KvBlockBytes block = view_.block_bytes();
    std::mt19937 random(7);
    for (const std::size_t block_bytes :
         {block.keys, block.values, block.key_scales, block.value_scales}) {
      Array& array = arrays_.emplace_back();
      array.block_bytes = static_cast<std::int64_t>(block_bytes);
      array.expected.resize(static_cast<std::size_t>(view_.num_layers * view_.num_blocks) *
                            block_bytes);
      for (std::byte& byte : array.expected) byte = static_cast<std::byte>(random());
      array.content.emplace(backend, array.expected.size());
      backend.copy_in(array.content->data(), array.expected.data(), array.expected.size());
    }
    view_.keys = arrays_[0].content->data();
    view_.values = arrays_[1].content->data();
    view_.key_scales = reinterpret_cast<float*>(arrays_[2].content->data());
    view_.value_scales = reinterpret_cast<float*>(arrays_[3].content->data());
  }

  void copy(const std::vector<BlockCopy>& copies) {
    backend_.copy_blocks(view_, copies);
    for (int layer = 0; layer < view_.num_layers; ++layer) {
      for (const BlockCopy& copy : copies) {
        for (Array& array : arrays_) {
          const std::int64_t block = array.block_bytes;
          const auto begin = array.expected.begin() + layer * view_.num_blocks * block;
          std::copy_n(begin + copy.source * block, block, begin + copy.destination * block);
        }
      }
    }
  }

  void check() const {
    for (const Array& array : arrays_) {
      EXPECT_EQ(array.content->read(), array.expected);
      EXPECT_TRUE(array.content->guards_intact());
    }
  }

 private:
  /// Keys, values or their scales.
  struct Array {
    std::int64_t block_bytes = 0;
    std::vector<std::byte> expected;
    std::optional<GuardedBuffer> content;
  };

  Backend& backend_;
  KvCacheView view_;
  std::deque<Array> arrays_;
};

class CopyBlocksConformance : public TypedBackendTest {
 protected:
  KvCacheView shape(int num_layers, std::int64_t num_blocks, int num_kv_heads, int block_size,
                    int head_dim) const {
    KvCacheView view;
    view.format = unscaled_kv_format(dtype());
    view.num_layers = num_layers;
    view.num_blocks = num_blocks;
    view.num_kv_heads = num_kv_heads;
    view.block_size = block_size;
    view.head_dim = head_dim;
    return view;
  }
};

TEST_P(CopyBlocksConformance, CopiesAllLayersAndNothingElse) {
  for (const auto& [heads, block_size, head_dim] :
       {std::tuple{1, 1, 1}, {1, 3, 5}, {2, 32, 64}, {3, 32, 128}, {1, 7, 24}}) {
    SCOPED_TRACE(::testing::Message() << heads << " x " << block_size << " x " << head_dim);
    CacheUnderTest cache(*backend_, shape(3, 9, heads, block_size, head_dim));
    cache.copy({});
    cache.check();
    cache.copy({{0, 8}});
    cache.copy({{8, 4}, {8, 5}, {1, 0}});  // reads the previous call's result
    cache.copy({{4, 8}});
    cache.check();
  }
}

TEST_P(CopyBlocksConformance, ScalesGoAlong) {
  for (const KvFormat& format :
       {kv_format(DType::uint8, DType::uint8), kv_format(DType::float8_e4m3, DType::float8_e4m3),
        kv_format(dtype(), DType::uint8)}) {
    for (const auto& [heads, block_size, head_dim] :
         {std::tuple{1, 1, 1}, {1, 3, 5}, {2, 32, 64}, {3, 32, 128}, {1, 7, 24}}) {
      SCOPED_TRACE(::testing::Message() << describe(format) << ", " << head_dim);
      KvCacheView view = shape(3, 9, heads, block_size, head_dim);
      view.format = format;
      CacheUnderTest cache(*backend_, view);
      cache.copy({{0, 8}});
      cache.copy({{8, 4}, {8, 5}, {1, 0}});
      cache.check();
    }
  }
}

TEST_P(CopyBlocksConformance, ManyAtOnce) {
  constexpr std::int32_t kCopies = 600;
  std::vector<std::int32_t> order(2 * kCopies);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  std::vector<BlockCopy> copies;
  for (std::size_t i = 0; i < order.size(); i += 2) copies.push_back({order[i], order[i + 1]});
  CacheUnderTest cache(*backend_, shape(2, 2 * kCopies, 1, 4, 8));
  cache.copy(copies);
  cache.check();
}

TEST_P(CopyBlocksConformance, RefusesWhatHasNoOrder) {
  CacheUnderTest cache(*backend_, shape(2, 4, 1, 4, 8));
  const auto refuse = [&](const std::vector<BlockCopy>& copies) {
    EXPECT_QUERN_ERROR(ErrorCode::internal, ({"block_copies"}), cache.copy(copies));
  };
  refuse({{0, 4}});
  refuse({{-1, 1}});
  refuse({{0, 1}, {2, 1}});
  refuse({{0, 1}, {1, 2}});
  refuse({{3, 3}});
  cache.check();
}

QUERN_INSTANTIATE_TYPED(CopyBlocksConformance);

}  // namespace
}  // namespace quern::testing
