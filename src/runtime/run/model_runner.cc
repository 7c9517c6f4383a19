#include "runtime/run/model_runner.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"
#include "runtime/load/weight_placement.h"

namespace quern {
namespace {

/// Sample and Advance end every closed step; the lm_head stands before them.
constexpr std::size_t kClosingNodes = 2;
/// Context lengths up to which one decode recording serves: this, and every power of two above it.
constexpr unsigned kMinBucket = 256;

}  // namespace

ModelRunner::ModelRunner(const OpenedModel& model, const EnginePlan& plan, Backend& backend)
    : backend_(&backend),
      graph_(model.graph),
      weight_arena_("weights", backend_->allocate(plan.memory.weight_bytes, "weights")),
      kv_arena_("KV cache", backend_->allocate(plan.memory.kv_cache_bytes, "KV cache")),
      activation_arena_("activations",
                        backend_->allocate(plan.memory.activation_bytes + Arena::kAlignment +
                                               plan.memory.workspace_bytes,
                                           "activations and workspace")),
      arrays_(*backend_, plan.limits, plan.ring_capacity),
      max_logit_rows_(plan.limits.max_logit_rows),
      max_seq_len_(plan.limits.max_seq_len) {
  weights_ = place_weights(model, *backend_, weight_arena_);
  place_values(plan);
  allocate_kv_cache(plan);
  step_.state = arrays_.state();
  step_.sampling = arrays_.sampling();
  step_.ring = arrays_.ring();
  step_.loop = arrays_.loop();
  step_.values = values_;
  step_.weights = weights_;
  if (plan.options.profile) profiler_.emplace(*backend_, graph_);
}

void ModelRunner::place_values(const EnginePlan& plan) {
  std::byte* base = activation_arena_.take(plan.memory.activation_bytes);
  for (std::size_t i = 0; i < graph_.values.size(); ++i) {
    const Value& value = graph_.values[i];
    Tensor tensor;
    tensor.data = base + plan.activations.offsets[i];
    tensor.rows =
        value.rows == Rows::tokens ? plan.limits.max_tokens_per_step : plan.limits.max_logit_rows;
    tensor.cols = value.cols;
    tensor.row_stride = value.cols;
    tensor.dtype = value.dtype;
    tensor.device = backend_->device();
    values_.push_back(tensor);
  }
  step_.workspace = {activation_arena_.take(plan.memory.workspace_bytes),
                     plan.memory.workspace_bytes};
}

void ModelRunner::allocate_kv_cache(const EnginePlan& plan) {
  const KvGeometry geometry = kv_geometry(graph_);
  KvCacheView& cache = step_.kv_cache;
  cache.keys = kv_arena_.take(plan.memory.kv_cache_bytes);
  cache.values = cache.keys + plan.memory.kv_cache_bytes / 2;
  cache.dtype = graph_.activation_dtype;
  cache.num_layers = geometry.num_layers;
  cache.num_blocks = plan.limits.num_blocks;
  cache.num_kv_heads = geometry.num_kv_heads;
  cache.block_size = plan.limits.block_size;
  cache.head_dim = geometry.head_dim;
  cache.block_table = arrays_.block_table();
  cache.max_blocks_per_seq = plan.limits.max_blocks_per_seq();
}

int ModelRunner::bucket(int kv_len) const {
  const auto least = std::max(static_cast<unsigned>(kv_len), kMinBucket);
  return std::min(max_seq_len_, static_cast<int>(std::bit_ceil(least)));
}

void ModelRunner::run(const BatchView& batch) {
  step_.batch = batch;
  if (profiler_) {
    profiler_->run(step_);
  } else {
    execute(*backend_, nodes(), step_);
  }
}

void ModelRunner::profile_decode(BatchView batch, int times) {
  for (int i = 0; i < times; ++i) {
    run(batch);
    ++batch.max_kv_len;
    batch.total_kv_len += batch.num_seqs;
  }
}

void ModelRunner::replay_decode(BatchView batch, int times) {
  QUERN_CHECK(batch.num_decode_seqs == batch.num_seqs);
  if (profiler_) return profile_decode(batch, times);
  batch.max_kv_len = bucket(batch.max_kv_len + times - 1);
  step_.batch = batch;
  auto& recording = decode_recordings_[{batch.num_seqs, batch.max_kv_len}];
  if (!recording) {
    // Run once as it is: that loads what is loaded on first use, which a recording must not.
    execute(*backend_, nodes(), step_);
    recording = backend_->record([this] { execute(*backend_, nodes(), step_); });
    --times;
  }
  decode_counts_ = recording->counts();
  if (times > 0) recording->replay(times);
}

int ModelRunner::max_loop_steps(const BatchView& batch) const {
  return bucket(batch.max_kv_len) - batch.max_kv_len + 1;
}

void ModelRunner::start_device_loop(BatchView batch, const LoopControl& control) {
  QUERN_CHECK(batch.num_decode_seqs == batch.num_seqs &&
              control.steps_left <= max_loop_steps(batch));
  batch.max_kv_len = bucket(batch.max_kv_len);
  step_.batch = batch;
  auto& recording = loop_recordings_[{batch.num_seqs, batch.max_kv_len}];
  if (!recording) {
    recording =
        backend_->record([this] { execute(*backend_, nodes(), step_); }, RecordedLoop::device);
  }
  decode_counts_ = recording->counts();
  arrays_.write_loop(control);
  recording->replay(1);
}

void ModelRunner::run_logits(BatchView batch, int first_row, int num_rows, const LogitsSink& sink) {
  step_.batch = batch;
  const auto body = nodes().first(graph_.nodes.size() - kClosingNodes - 1);
  const Node& lm_head = graph_.nodes[body.size()];
  execute(*backend_, body, step_);

  const Tensor& logits = step_.value(op_outputs(lm_head.op).front());
  std::vector<float> rows;
  for (int done = 0; done < num_rows; done += max_logit_rows_) {
    const int count = std::min(max_logit_rows_, num_rows - done);
    arrays_.write_logit_rows(batch, first_row + done, count);
    step_.batch = batch;
    execute(*backend_, {&lm_head, 1}, step_);
    rows.resize(static_cast<std::size_t>(count * logits.cols));
    backend_->copy_out(rows.data(), logits.data, std::span(rows).size_bytes());
    sink(rows);
  }
}

}  // namespace quern
