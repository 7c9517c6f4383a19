#include "kernels/persistent/persistent_step.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backend/cuda/stream/check_cuda.h"
#include "base/half.h"
#include "graph/step.h"
#include "kernels/common/launch.h"
#include "tests/backend/conformance/backends.h"

namespace quern::testing {
namespace {

// Steps of a small model in one launch, and by gemv() and attention_decode() one after the other.

struct StepShape {
  int head_dim = 64;
  int num_heads = 6;
  int num_kv_heads = 2;
  int hidden = 328;        ///< not a multiple of a K block
  int intermediate = 520;  ///< likewise
  int vocab = 1003;        ///< not a multiple of a tile
  int past = 0;            ///< tokens in the cache before the first step
  SequenceStatus status = SequenceStatus::running;
};

constexpr int kLayers = 2;
constexpr int kBlockSize = 16;
constexpr int kMaxSlots = 1024;
/// All of this device's, and that of the GPUs with the least (sm_86), which leaves fewer stages.
constexpr std::size_t kSharedBytes[] = {0, kernels::kMaxSharedBytes};

class PersistentStepTest : public TypedBackendTest {
 protected:
  void* allocate(std::size_t size_bytes) {
    return buffers_.emplace_back(backend_->allocate(size_bytes, "test")).data();
  }
  void* allocate_elements(std::int64_t count) {
    return allocate(static_cast<std::size_t>(count) * dtype_bytes(dtype()));
  }
  template <typename Value>
  Value* upload(const std::vector<Value>& values) {
    auto* device = static_cast<Value*>(allocate(values.size() * sizeof(Value)));
    backend_->copy_in(device, values.data(), values.size() * sizeof(Value));
    return device;
  }

  float* random_floats(std::int64_t count, float around, float spread) {
    std::uniform_real_distribution<float> numbers(around - spread, around + spread);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = numbers(random_);
    return upload(values);
  }
  void* random_elements(std::int64_t count, float spread) {
    std::uniform_real_distribution<float> numbers(-spread, spread);
    std::vector<std::uint16_t> values(static_cast<std::size_t>(count));
    for (std::uint16_t& value : values) {
      const float number = numbers(random_);
      value = dtype() == DType::float16 ? to_half(number).bits : to_bfloat16(number).bits;
    }
    return upload(values);
  }
  std::vector<float> floats_of(const float* device, int count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    backend_->copy_out(values.data(), device, values.size() * sizeof(float));
    return values;
  }

  kernels::GemvParams gemv(std::int64_t in_features, std::int64_t out_features, void* out) {
    kernels::GemvParams p;
    p.dtype = dtype();
    p.num_rows = 1;
    p.in_features = in_features;
    p.epilogue.out = out;
    p.epilogue.out_features = out_features;
    p.epilogue.out_dtype = dtype();
    cuda::check_cuda(
        cudaDeviceGetAttribute(&p.num_multiprocessors, cudaDevAttrMultiProcessorCount, 0),
        "cudaDeviceGetAttribute");
    return p;
  }
  void set_weight(kernels::GemvParams& p, bool has_bias) {
    const std::int64_t rows = p.epilogue.weight_rows();
    p.weight =
        random_elements(rows * p.in_features, 2.0f / std::sqrt(static_cast<float>(p.in_features)));
    if (has_bias) p.epilogue.bias = random_floats(rows, 0.0f, 0.5f);
  }
  void set_norm(kernels::GemvParams& p, kernels::NormKind kind) {
    p.norm.dtype = dtype();
    p.norm.in_features = static_cast<int>(p.in_features);
    p.norm.kind = kind;
    p.norm.epsilon = 1e-5f;
    p.norm.gain = random_floats(p.in_features, 1.0f, 0.3f);
    if (kind == kernels::NormKind::layer) p.norm.bias = random_floats(p.in_features, 0.0f, 0.3f);
  }

  /// One sequence's arrays; its state is on the device.
  kernels::AttentionDecodeParams attention(const StepShape& shape, const void* qkv, void* out) {
    kernels::AttentionDecodeParams decode;
    kernels::AttentionParams& p = decode.attention;
    p.dtype = dtype();
    p.qkv = qkv;
    p.out = out;
    p.num_heads = shape.num_heads;
    p.num_kv_heads = shape.num_kv_heads;
    p.head_dim = shape.head_dim;
    p.block_size = kBlockSize;
    p.max_blocks_per_seq = kMaxSlots / kBlockSize;
    p.num_cache_rows = kMaxSlots * shape.num_kv_heads;
    p.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    p.rope.num_pairs = shape.head_dim / 2;
    p.num_seqs = p.num_decode_seqs = p.num_tokens = 1;
    decode.max_splits = kernels::decode_splits(kMaxSlots);
    decode.max_slots = kMaxSlots;
    decode.num_multiprocessors = gemv(16, 8, nullptr).num_multiprocessors;
    const std::int64_t splits = std::int64_t{shape.num_heads} * decode.max_splits;
    decode.sums = static_cast<float*>(
        allocate(static_cast<std::size_t>(splits * shape.head_dim) * sizeof(float)));
    decode.states =
        static_cast<float2*>(allocate(static_cast<std::size_t>(splits) * sizeof(float2)));
    decode.counters = static_cast<std::uint32_t*>(allocate(
        sizeof(std::uint32_t) *
        static_cast<std::size_t>(kernels::decode_counters(shape.num_heads, shape.num_kv_heads))));
    return decode;
  }

  /// The ops of a model; each layer's attention has a cache.
  std::vector<kernels::PersistentOp> make_ops(const StepShape& shape, kernels::NormKind kind,
                                              bool gated) {
    const bool has_bias = kind == kernels::NormKind::layer;
    const std::int64_t heads = shape.num_heads + 2 * shape.num_kv_heads;
    const std::int64_t all = std::int64_t{shape.num_heads} * shape.head_dim;
    std::vector<std::int32_t> blocks(kMaxSlots / kBlockSize);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = static_cast<std::int32_t>(blocks.size() - 1 - i);
    }
    const auto* block_table = upload(blocks);
    const auto* zero = upload(std::vector<std::int32_t>{0});
    const auto* finished = upload(std::vector<std::int32_t>{static_cast<int>(shape.status)});
    const auto* one = upload(std::vector<float>{1.0f});
    const auto* inv_freq = random_floats(shape.head_dim / 2, 0.5f, 0.5f);
    kv_len_ = upload(std::vector<std::int32_t>{shape.past});
    float* residual = random_floats(shape.hidden, 0.0f, 1.0f);
    void* delta = nullptr;
    std::vector<kernels::PersistentOp> ops;
    const auto add_norm_gemv = [&](kernels::GemvParams p) {
      set_norm(p, kind);
      p.norm.residual = residual;
      p.norm.delta = delta;
      if (delta != nullptr && p.epilogue.out_dtype != DType::float32) {
        residual = p.residual_out =
            static_cast<float*>(allocate(static_cast<std::size_t>(shape.hidden) * sizeof(float)));
      }
      set_weight(p, has_bias);
      ops.emplace_back(p);
    };
    const auto add_linear = [&](const void* in, std::int64_t in_features) {
      delta = allocate_elements(shape.hidden);
      kernels::GemvParams p = gemv(in_features, shape.hidden, delta);
      p.in = in;
      set_weight(p, has_bias);
      ops.emplace_back(p);
    };
    for (int layer = 0; layer < kLayers; ++layer) {
      void* qkv = allocate_elements(heads * shape.head_dim);
      add_norm_gemv(gemv(shape.hidden, heads * shape.head_dim, qkv));
      void* attended = allocate_elements(all);
      kernels::AttentionDecodeParams decode = attention(shape, qkv, attended);
      kernels::AttentionParams& p = decode.attention;
      const std::int64_t slots = std::int64_t{kMaxSlots} * shape.num_kv_heads * shape.head_dim;
      p.keys = random_elements(slots, 1.0f);
      p.values = random_elements(slots, 1.0f);
      p.block_table = block_table;
      p.state_index = zero;
      p.finished = finished;
      p.state_kv_len = p.state_position = kv_len_;
      p.rope_alpha = one;
      p.rope.inv_freq = inv_freq;
      ops.emplace_back(decode);
      add_linear(attended, all);
      void* up = allocate_elements(shape.intermediate);
      kernels::GemvParams gate_up = gemv(shape.hidden, shape.intermediate, up);
      gate_up.epilogue.gated = gated;
      gate_up.epilogue.activation =
          gated ? kernels::Activation::silu : kernels::Activation::gelu_tanh;
      add_norm_gemv(gate_up);
      add_linear(up, shape.intermediate);
    }
    logits_ = static_cast<float*>(allocate(static_cast<std::size_t>(shape.vocab) * sizeof(float)));
    kernels::GemvParams lm_head = gemv(shape.hidden, shape.vocab, logits_);
    lm_head.epilogue.out_dtype = DType::float32;
    add_norm_gemv(lm_head);
    return ops;
  }

  void launch_alone(const std::vector<kernels::PersistentOp>& ops) {
    for (const kernels::PersistentOp& op : ops) {
      if (op.kind == kernels::PersistentOp::Kind::gemv) {
        kernels::gemv(op.gemv, nullptr);
      } else {
        kernels::attention_decode(op.attention.params, nullptr);
      }
    }
  }

  void expect_close(const std::vector<float>& got, const std::vector<float>& expected) const {
    double error = 0.0;
    double square = 0.0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      error += std::pow(double{got[i]} - expected[i], 2.0);
      square += std::pow(double{expected[i]}, 2.0);
    }
    // Sums of another order differ in the last bit of float32, which a value rounded to the dtype
    // between ops turns into a unit of the dtype now and then: far fewer than one of each op.
    const double unit = dtype() == DType::float16 ? 0x1p-11 : 0x1p-8;
    EXPECT_LT(error, 4 * unit * unit * square);
  }

  /// Three steps of both, each with the logits of the one after the other as reference.
  void check(const StepShape& shape, kernels::NormKind kind, bool gated) {
    std::vector<kernels::PersistentOp> ops = make_ops(shape, kind, gated);
    const std::size_t op_bytes = std::as_bytes(std::span(ops)).size();
    auto* memory =
        static_cast<std::byte*>(allocate(op_bytes + kernels::persistent_step_bytes(ops)));
    kernels::link_ops(ops, memory + op_bytes);
    backend_->copy_in(memory, ops.data(), op_bytes);
    backend_->wait();
    for (int step = 0; step < 3; ++step) {
      const std::int32_t length = shape.past + step;
      backend_->copy_in(kv_len_, &length, sizeof(length));
      backend_->wait();
      launch_alone(ops);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
      const std::vector<float> expected = floats_of(logits_, shape.vocab);
      for (const std::size_t shared_bytes : kSharedBytes) {
        ASSERT_TRUE(kernels::persistent_step_supports(ops, shared_bytes));
        kernels::persistent_step({.ops = ops,
                                  .device_ops = reinterpret_cast<kernels::PersistentOp*>(memory),
                                  .memory = memory + op_bytes,
                                  .num_multiprocessors = ops[0].gemv.num_multiprocessors,
                                  .shared_bytes = shared_bytes},
                                 nullptr);
        cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
        SCOPED_TRACE(::testing::Message() << "step " << step << ", " << shape.past << " past, "
                                          << shared_bytes << " bytes of shared memory");
        expect_close(floats_of(logits_, shape.vocab), expected);
      }
    }
  }

  std::mt19937 random_{7};
  std::vector<Buffer> buffers_;
  std::int32_t* kv_len_ = nullptr;
  float* logits_ = nullptr;
};

TEST_P(PersistentStepTest, AgreesWithKernelsOfTheirOwn) {
  for (const int past : {0, 15, 300, 700}) {  // 300 and 700 are split
    check({.past = past}, kernels::NormKind::rms, true);
    check({.past = past}, kernels::NormKind::layer, false);
    check({.head_dim = 128, .num_heads = 3, .num_kv_heads = 3, .past = past},
          kernels::NormKind::rms, true);
    // Fewer rows and tiles than blocks or warps, and rows of more elements than threads hold.
    check({.num_heads = 1,
           .num_kv_heads = 1,
           .hidden = 8,
           .intermediate = 8,
           .vocab = 9,
           .past = past},
          kernels::NormKind::rms, false);
    check({.past = past, .status = SequenceStatus::stop}, kernels::NormKind::rms, true);
    check({.num_heads = 10, .num_kv_heads = 1, .hidden = 4360, .intermediate = 11016, .past = past},
          kernels::NormKind::rms, true);
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, PersistentStepTest,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
