#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/rope_tables.h"
#include "bench/kernels/device_arrays.h"
#include "bench/kernels/kernel_bench.h"
#include "bench/kernels/model_shapes.h"
#include "kernels/attention/prefill/attention_prefill_sm90.h"

namespace quern::bench {
namespace {

constexpr DType kDtype = DType::float16;
constexpr std::size_t kNumCounters = std::size_t{1} << 16;

/// The work of one step: sequences of equal lengths.
struct AttentionLoad {
  int num_seqs = 1;
  int q_len = 1;
  int kv_len = 0;  ///< after the step
  bool decode = true;
  bool sm90 = false;  ///< prefill with attention_prefill_sm90
  KvFormat format = unscaled_kv_format(kDtype);
  const char* format_name = "";  ///< in the kernel's name

  int num_tokens() const { return num_seqs * q_len; }
  int blocks_per_seq() const { return (kv_len + kBlockSize - 1) / kBlockSize; }
};

/// Attention of one model under one load; each launch uses another layer of a cold cache.
class AttentionCase {
 public:
  /// `scales`: float32 numbers.
  AttentionCase(const KernelBench& bench, ColdMemory& cache, ColdMemory& scales,
                const ModelShape& model, const AttentionLoad& load)
      : bench_(bench),
        cache_(cache),
        scales_(scales),
        model_(model),
        load_(load),
        arrays_(bench.timer) {
    const std::int64_t heads_cols = std::int64_t{model.num_attention_heads} * model.head_dim;
    values_ = {activation(model.qkv_features()), activation(heads_cols)};
    op_.qkv = ValueId{0};
    op_.out = ValueId{1};
    op_.num_heads = model.num_attention_heads;
    op_.num_kv_heads = model.num_key_value_heads;
    op_.head_dim = model.head_dim;
    op_.scale = 1.0f / std::sqrt(static_cast<float>(model.head_dim));
    op_.rope = model.rope;
    add_batch();
    add_cache();
    step_.activation_dtype = kDtype;
    step_.values = values_;
    step_.workspace = {arrays_.zeros(workspace_bytes()), workspace_bytes()};
    context_.stream = bench.timer.stream().get();
    context_.num_multiprocessors = bench.timer.num_multiprocessors();
    context_.counters = {
        reinterpret_cast<std::uint32_t*>(arrays_.zeros(kNumCounters * sizeof(std::uint32_t))),
        kNumCounters};
    context_.rope_tables = &rope_tables_;
    context_.use_pdl = bench.timer.use_pdl();
    context_.sm90_attention = load.sm90;
  }

  void run() {
    constexpr std::int64_t kBytesOfGraph = std::int64_t{1} << 28;
    const auto launches =
        static_cast<int>(std::clamp<std::int64_t>(kBytesOfGraph / layer_bytes(), 8, 256));
    Measurement m{"attention", std::string(model_.name) + "." + std::to_string(load_.kv_len),
                  std::string(load_.decode ? "decode"
                              : load_.sm90 ? "prefill_sm90"
                                           : "prefill") +
                      load_.format_name,
                  load_.num_tokens()};
    m.us = bench_.timer.time_us(launches, [this](int) {
      // Allocations of their own: keys and values of a layer are not adjacent.
      const KvBlockBytes layer = layer_parts();
      KvCacheView& cache = step_.kv_cache;
      cache.keys = take(cache_, layer.keys);
      cache.values = take(cache_, layer.values);
      cache.key_scales = reinterpret_cast<float*>(take(scales_, layer.key_scales));
      cache.value_scales = reinterpret_cast<float*>(take(scales_, layer.value_scales));
      cuda::run_attention(op_, step_, context_);
    });
    const std::int64_t pairs = load_.num_seqs * (std::int64_t{load_.q_len} * load_.kv_len -
                                                 std::int64_t{load_.q_len} * (load_.q_len - 1) / 2);
    m.flops = 4.0 * static_cast<double>(pairs * model_.num_attention_heads * model_.head_dim);
    m.bytes = static_cast<double>(kv_block_bytes(geometry(), load_.format, 1).total()) *
              load_.num_seqs * load_.kv_len;
    bench_.report.add(m);
  }

 private:
  std::int64_t num_blocks() const { return std::int64_t{load_.num_seqs} * load_.blocks_per_seq(); }
  KvGeometry geometry() const { return {1, model_.num_key_value_heads, model_.head_dim}; }
  KvBlockBytes layer_parts() const {
    return kv_block_bytes(geometry(), load_.format, static_cast<int>(num_blocks()) * kBlockSize);
  }
  /// of keys and values together
  std::int64_t layer_bytes() const { return static_cast<std::int64_t>(layer_parts().total()); }

  static std::byte* take(ColdMemory& memory, std::size_t size_bytes) {
    if (size_bytes == 0) return nullptr;
    return const_cast<std::byte*>(memory.take(static_cast<std::int64_t>(size_bytes)));
  }

  Tensor activation(std::int64_t cols) {
    const std::int64_t rows = load_.num_tokens();
    return {arrays_.random(kDtype, rows * cols, 1.0f),
            rows,
            cols,
            cols,
            kDtype,
            Device{DeviceKind::cuda, 0}};
  }

  void add_batch() {
    const auto seqs = static_cast<std::size_t>(load_.num_seqs);
    std::vector<std::int32_t> index(seqs);
    std::iota(index.begin(), index.end(), 0);
    std::vector<std::int32_t> first_rows(seqs + 1);
    for (std::size_t i = 0; i <= seqs; ++i) {
      first_rows[i] = static_cast<std::int32_t>(i) * load_.q_len;
    }
    const int past = load_.kv_len - load_.q_len;
    std::vector<std::int32_t> positions(static_cast<std::size_t>(load_.num_tokens()));
    for (std::size_t i = 0; i < positions.size(); ++i) {
      positions[i] = past + static_cast<std::int32_t>(i) % load_.q_len;
    }
    BatchView& batch = step_.batch;
    batch.num_tokens = load_.num_tokens();
    batch.num_seqs = load_.num_seqs;
    batch.num_decode_seqs = load_.decode ? load_.num_seqs : 0;
    batch.max_q_len = load_.q_len;
    batch.max_kv_len = load_.kv_len;
    batch.state_index = arrays_.upload(index);
    batch.cu_seqlens_q = arrays_.upload(first_rows);
    batch.kv_lens = arrays_.upload(std::vector<std::int32_t>(seqs, load_.kv_len));
    batch.positions = arrays_.upload(positions);
    step_.state.kv_len = arrays_.upload(std::vector<std::int32_t>(seqs, past));
    step_.state.position = arrays_.upload(std::vector<std::int32_t>(seqs, past));
    step_.state.finished = arrays_.upload(std::vector<std::int32_t>(seqs, 0));
    step_.state.rope_alpha = arrays_.upload(std::vector<float>(seqs, 1.0f));
  }

  void add_cache() {
    std::vector<std::int32_t> table(static_cast<std::size_t>(num_blocks()));
    std::iota(table.begin(), table.end(), 0);
    KvCacheView& cache = step_.kv_cache;
    cache.format = load_.format;
    cache.num_blocks = num_blocks();
    cache.num_kv_heads = model_.num_key_value_heads;
    cache.block_size = kBlockSize;
    cache.head_dim = model_.head_dim;
    cache.max_blocks_per_seq = load_.blocks_per_seq();
    cache.block_table = arrays_.upload(table);
  }

  std::size_t workspace_bytes() const {
    Graph graph;
    graph.values = {{Rows::tokens, model_.qkv_features(), kDtype, "qkv"}};
    Limits limits;
    limits.max_seqs = load_.num_seqs;
    limits.max_seq_len = load_.kv_len;
    limits.max_tokens_per_step = load_.num_tokens();
    limits.block_size = kBlockSize;
    return cuda::attention_workspace_bytes(op_, graph, limits);
  }

  const KernelBench& bench_;
  ColdMemory& cache_;
  ColdMemory& scales_;
  const ModelShape& model_;
  AttentionLoad load_;
  DeviceArrays arrays_;
  std::array<Tensor, 2> values_;
  Attention op_{};
  Step step_;
  cuda::RopeTables rope_tables_{Device{DeviceKind::cuda, 0}};
  cuda::OpContext context_;
};

}  // namespace

void bench_attention(const KernelBench& bench) {
  constexpr std::int64_t kMostCacheBytes = std::int64_t{1} << 30;  // of keys, of one layer
  const bool has_sm90 = kernels::has_attention_prefill_sm90();
  ColdMemory cache(bench.timer, kDtype, 1.0f);
  ColdMemory scales(bench.timer, DType::float32, 0.01f);
  const std::pair<const char*, KvFormat> formats[] = {
      {"", unscaled_kv_format(kDtype)},
      {".int8", kv_format(DType::uint8, DType::uint8)},
      {".fp8", kv_format(DType::float8_e4m3, DType::float8_e4m3)},
      {".k16v8", kv_format(kDtype, DType::uint8)}};
  for (const ModelShape& model : model_shapes()) {
    const auto wants = [&](int kv_len) {
      return bench.wants(model.name + "." + std::to_string(kv_len));
    };
    for (const int kv_len : {64, 128, 256, 512, 1000, 2000, 8000, 32000}) {
      if (!wants(kv_len)) continue;
      for (const int num_seqs : {1, 8, 16, 32, 64}) {
        const std::int64_t bytes =
            std::int64_t{2} * num_seqs * kv_len * model.num_key_value_heads * model.head_dim;
        if (bytes > kMostCacheBytes) continue;
        for (const auto& [name, format] : formats) {
          const AttentionLoad load{
              .num_seqs = num_seqs, .kv_len = kv_len, .format = format, .format_name = name};
          AttentionCase(bench, cache, scales, model, load).run();
        }
      }
    }
    for (const int tokens : {128, 512, 2048, 8192}) {
      if (!wants(tokens)) continue;
      for (const auto& [name, format] : formats) {
        const AttentionLoad load{.q_len = tokens,
                                 .kv_len = tokens,
                                 .decode = false,
                                 .format = format,
                                 .format_name = name};
        AttentionCase(bench, cache, scales, model, load).run();
      }
      const AttentionLoad load{.q_len = tokens, .kv_len = tokens, .decode = false, .sm90 = true};
      if (has_sm90) AttentionCase(bench, cache, scales, model, load).run();
    }
  }
}

}  // namespace quern::bench
