#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/common/launch.h"
#include "kernels/persistent/persistent_step.h"

namespace quern::testing {
namespace {

// How ops are linked needs no GPU: their arrays are only addresses.

using Ops = std::vector<kernels::PersistentOp>;

template <typename Value = void>
Value* array(int number) {
  return reinterpret_cast<Value*>(std::uintptr_t{0x1000} * static_cast<unsigned>(number));
}

constexpr int kHidden = 192;
constexpr int kQkv = 320;  // three heads of 64, and one key and value

kernels::GemvParams linear(int in, int in_features, int out, int out_features) {
  kernels::GemvParams p;
  p.dtype = DType::float16;
  p.num_rows = 1;
  p.in_features = in_features;
  p.in = array(in);
  p.epilogue.out = array(out);
  p.epilogue.out_features = out_features;
  p.epilogue.out_dtype = DType::float16;
  p.num_multiprocessors = 72;
  return p;
}

kernels::GemvParams norm_linear(int residual, int delta, int residual_out, int out,
                                int out_features) {
  kernels::GemvParams p = linear(0, kHidden, out, out_features);
  p.norm.in_features = kHidden;
  p.norm.residual = array<float>(residual);
  p.norm.delta = array(delta);
  p.residual_out = array<float>(residual_out);
  return p;
}

/// qkv, attention, attention_out, gate_up, down, lm_head.
Ops layer() {
  kernels::AttentionDecodeParams attention;
  attention.attention.dtype = DType::float16;
  attention.attention.qkv = array(2);
  attention.attention.out = array(3);
  attention.attention.num_heads = 3;
  attention.attention.num_kv_heads = 1;
  attention.attention.head_dim = 64;
  attention.attention.num_seqs = attention.attention.num_decode_seqs = 1;
  attention.max_slots = 1024;
  attention.num_multiprocessors = 72;
  Ops ops;
  ops.emplace_back(norm_linear(1, 0, 0, 2, kQkv));
  ops.emplace_back(attention);
  ops.emplace_back(linear(3, kHidden, 4, kHidden));
  ops.emplace_back(norm_linear(1, 4, 5, 6, 512));
  ops.emplace_back(linear(6, 512, 7, kHidden));
  ops.emplace_back(norm_linear(5, 7, 0, 8, 2048));
  return ops;
}

bool are_supported(const Ops& ops) {
  return kernels::persistent_step_supports(ops, kernels::kMaxSharedBytes);
}

TEST(PersistentOps, MustBeAChain) {
  ASSERT_TRUE(are_supported(layer()));
  const auto are_with = [](const auto& change) {
    Ops ops = layer();
    change(ops);
    return are_supported(ops);
  };
  EXPECT_TRUE(are_with([](Ops& ops) { ops.pop_back(); }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops.erase(ops.begin()); })) << "begins with attention";
  EXPECT_FALSE(are_with([](Ops& ops) { ops.erase(ops.begin() + 2); }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops[3].gemv.norm.residual = array<float>(9); }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops[3].gemv.norm.delta = nullptr; }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops[3].gemv.residual_out = nullptr; }))
      << "the last norm reads a residual stream that nothing wrote";
  EXPECT_FALSE(are_with([](Ops& ops) { ops[4].gemv.in = array(9); }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops.clear(); }));
}

TEST(PersistentOps, MustBeWhatTheKernelIsMadeFor) {
  const auto are_with = [](const auto& change) {
    Ops ops = layer();
    change(ops);
    return are_supported(ops);
  };
  const auto attention_with = [&](const auto& change) {
    return are_with([&](Ops& ops) { change(ops[1].attention.params.attention); });
  };
  EXPECT_FALSE(are_with([](Ops& ops) { ops[0].gemv.num_rows = 2; }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops[2].gemv.dtype = DType::float32; }));
  EXPECT_FALSE(are_with([](Ops& ops) { ops[2].gemv.dtype = DType::bfloat16; })) << "of one dtype";
  EXPECT_FALSE(attention_with([](auto& attention) { attention.head_dim = 96; }));
  EXPECT_FALSE(attention_with([](auto& attention) { attention.num_seqs = 2; }));
  EXPECT_FALSE(attention_with([](auto& attention) { attention.value_scales = array<float>(9); }))
      << "a cache of 8 bits";
  EXPECT_FALSE(are_with([](Ops& ops) {
    ops[4].gemv.in_features = ops[3].gemv.epilogue.out_features = 65536;
  })) << "rows that do not fit into shared memory";
}

/// The projections of a layer on a GPU of 132 multiprocessors.
bool gain(int hidden, int qkv, int intermediate, bool gated, bool launches_overlap,
          double memory_bytes_per_clock = 19.0) {
  Ops ops;
  ops.emplace_back(linear(1, hidden, 2, qkv));
  ops.emplace_back(linear(2, hidden, 3, hidden));
  ops.emplace_back(linear(3, hidden, 4, intermediate));
  ops.back().gemv.epilogue.gated = gated;
  ops.emplace_back(linear(4, intermediate, 5, hidden));
  return kernels::persistent_step_gains(ops, {132, launches_overlap, memory_bytes_per_clock});
}

TEST(PersistentOps, GainWhereWeightsAreSmallAndSpreadEvenly) {
  EXPECT_TRUE(gain(1024, 3072, 4096, false, false)) << "gpt_350m";
  EXPECT_TRUE(gain(1024, 3072, 4096, false, true));
  EXPECT_TRUE(gain(896, 1152, 4864, true, false)) << "Qwen2.5-0.5B";
  EXPECT_FALSE(gain(896, 1152, 4864, true, true)) << "144 tiles, 112 tiles";
  EXPECT_FALSE(gain(4096, 12288, 11008, true, false)) << "LLaMA-7B";
  EXPECT_TRUE(gain(4096, 12288, 11008, true, false, 4.9)) << "by an A10's memory";
  EXPECT_FALSE(gain(4096, 12288, 11008, true, false, 0.0)) << "not known";
}

TEST(PersistentOps, AreLinkedByTheirOutputs) {
  Ops ops = layer();
  auto* memory = array<std::byte>(16);
  kernels::link_ops(ops, memory);
  EXPECT_EQ(ops.front().in, nullptr);
  EXPECT_EQ(ops.back().out, nullptr);
  // Two elements and a step number take eight bytes.
  const std::vector<int> elements = {kQkv, kHidden, kHidden, 512, kHidden};
  std::size_t total = 0;
  for (std::size_t i = 0; i + 1 < ops.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(ops[i + 1].in, ops[i].out);
    const auto* begin = reinterpret_cast<const std::byte*>(ops[i].out);
    EXPECT_GE(begin, memory + total);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(begin) % 16, 0u);
    total = static_cast<std::size_t>(begin - memory) + 4 * static_cast<std::size_t>(elements[i]);
  }
  EXPECT_LE(total, kernels::persistent_step_bytes(ops));
  for (std::size_t i = 0; i < ops.size(); ++i) {
    EXPECT_EQ(ops[i].stores_residual, i == 3) << "only the last one, for kernels after the step";
    if (i == 1) continue;  // attention
    EXPECT_EQ(ops[i].gemv_index, i == 0 ? 0 : static_cast<int>(i) - 1) << i;
    EXPECT_EQ(ops[i].next, i == 0 ? 2 : static_cast<int>(i) + 1) << i;
    EXPECT_EQ(ops[i].after_next, std::min(ops[i].next + 1, static_cast<int>(ops.size()))) << i;
  }
}

}  // namespace
}  // namespace quern::testing
