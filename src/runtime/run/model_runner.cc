#include "runtime/run/model_runner.h"

#include <algorithm>
#include <future>

#include "base/check.h"
#include "runtime/load/weight_placement.h"

namespace quern {
namespace {

/// Sample and Advance are the last nodes of every closed step, after the lm_head.
constexpr std::size_t kClosingNodes = 2;

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
      buckets_(plan.decode_buckets) {
  weights_ = lay_out_weights(model, *backend_, weight_arena_);
  place_values(plan);
  allocate_kv_cache(plan);
  step_.state = arrays_.state();
  step_.sampling = arrays_.sampling();
  step_.ring = arrays_.ring();
  step_.loop = arrays_.loop();
  step_.activation_dtype = graph_.activation_dtype;
  step_.values = values_;
  step_.weights = weights_;
  // Recording uses addresses, not contents: it runs while the weights are read.
  const auto policy = buckets_.empty() ? std::launch::deferred : std::launch::async;
  auto recordings = std::async(
      policy, [&] { return record_decode_steps(*backend_, nodes(), step_, arrays_, plan); });
  read_weights(model, *backend_, weights_, plan.options.on_load);
  recordings_ = recordings.get();
  if (plan.options.profile) profiler_.emplace(*backend_, graph_);
  if (plan.options.time_steps) step_timer_.emplace(*backend_);
}

void ModelRunner::place_values(const EnginePlan& plan) {
  std::byte* base = activation_arena_.take(plan.memory.activation_bytes);
  for (std::size_t i = 0; i < graph_.values.size(); ++i) {
    const Value& value = graph_.values[i];
    Tensor tensor;
    tensor.data = base + plan.activations.offsets[i];
    tensor.rows = plan.limits.max_rows(value.rows);
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
  const auto num_blocks = static_cast<std::size_t>(plan.limits.num_blocks);
  const KvBlockBytes block = kv_block_bytes(geometry, plan.kv_format, plan.limits.block_size);
  cache.keys = kv_arena_.take(num_blocks * block.total());
  cache.values = cache.keys + num_blocks * block.keys;
  std::byte* scales = cache.values + num_blocks * block.values;
  if (block.key_scales > 0) cache.key_scales = reinterpret_cast<float*>(scales);
  scales += num_blocks * block.key_scales;
  if (block.value_scales > 0) cache.value_scales = reinterpret_cast<float*>(scales);
  cache.format = plan.kv_format;
  cache.num_layers = geometry.num_layers;
  cache.num_blocks = plan.limits.num_blocks;
  cache.num_kv_heads = geometry.num_kv_heads;
  cache.block_size = plan.limits.block_size;
  cache.head_dim = geometry.head_dim;
  cache.block_table = arrays_.block_table();
  cache.max_blocks_per_seq = plan.limits.max_blocks_per_seq();
}

BatchView ModelRunner::write_batch(const ScheduledStep& step) {
  const auto num_seqs = static_cast<int>(step.runs.size());
  if (buckets_.empty() || step.num_decode != num_seqs) return arrays_.write_batch(step);
  return arrays_.write_batch(step, buckets_.shape_for(num_seqs, 1).num_seqs);
}

template <typename Launch>
void ModelRunner::timed(const BatchView& batch, const Launch& launch) {
  if (step_timer_) step_timer_->begin(batch);
  launch();
  if (step_timer_) step_timer_->end();
}

void ModelRunner::run(const BatchView& batch) {
  step_.batch = batch;
  if (profiler_) {
    profiler_->run(step_);
  } else {
    timed(batch, [&] { execute(*backend_, nodes(), step_); });
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
  batch.max_kv_len += times - 1;
  if (Recording* recording = find_recording(RecordedLoop::host, batch)) {
    decode_counts_ = recording->counts();
    return timed(batch, [&] { recording->replay(times); });
  }
  for (int i = 0; i < times; ++i) run(batch);
}

Recording* ModelRunner::find_recording(RecordedLoop loop, const BatchView& batch) const {
  if (buckets_.empty()) return nullptr;
  return recordings_.find(loop, buckets_.shape_for(batch.num_seqs, batch.max_kv_len));
}

int ModelRunner::max_loop_steps(const BatchView& batch) const {
  return buckets_.shape_for(batch.num_seqs, batch.max_kv_len).max_kv_len - batch.max_kv_len + 1;
}

void ModelRunner::start_device_loop(const BatchView& batch, const LoopControl& control) {
  QUERN_CHECK(batch.num_decode_seqs == batch.num_seqs &&
              control.steps_left <= max_loop_steps(batch));
  Recording* recording = find_recording(RecordedLoop::device, batch);
  QUERN_CHECK(recording != nullptr);
  decode_counts_ = recording->counts();
  arrays_.write_loop(control);
  timed(batch, [&] { recording->replay(1); });
}

std::pair<std::span<const Node>, std::span<const Node>> ModelRunner::open_nodes() const {
  const auto all = nodes().first(graph_.nodes.size() - kClosingNodes);
  const auto chooses = std::find_if(all.begin(), all.end(), [&](const Node& node) {
    const std::vector<ValueId> outputs = op_outputs(node.op);
    return graph_.value(outputs.front()).rows == Rows::logit_rows;
  });
  const auto num_of_tokens = static_cast<std::size_t>(chooses - all.begin());
  return {all.first(num_of_tokens), all.subspan(num_of_tokens)};
}

void ModelRunner::run_logits(const BatchView& batch, int first_row, int num_rows,
                             const LogitsSink& sink) {
  step_.batch = batch;
  execute(*backend_, open_nodes().first, step_);
  read_logits(batch, first_row, num_rows, sink);
}

void ModelRunner::read_logits(BatchView batch, int first_row, int num_rows,
                              const LogitsSink& sink) {
  const std::span<const Node> of_logit_rows = open_nodes().second;
  const Tensor& logits = step_.value(op_outputs(of_logit_rows.back().op).front());
  std::vector<float> rows;
  for (int done = 0; done < num_rows; done += max_logit_rows_) {
    const int count = std::min(max_logit_rows_, num_rows - done);
    arrays_.write_logit_rows(batch, first_row + done, count);
    step_.batch = batch;
    execute(*backend_, of_logit_rows, step_);
    rows.resize(static_cast<std::size_t>(count * logits.cols));
    backend_->copy_out(rows.data(), logits.data, std::span(rows).size_bytes());
    sink(rows);
  }
}

void ModelRunner::restore_logits(const BatchView& batch) {
  arrays_.restore_logit_rows(batch);
  step_.batch = batch;
  execute(*backend_, open_nodes().second, step_);
}

void ModelRunner::copy_logits(int first_row, int num_rows, std::vector<float>& logits) {
  const std::size_t lm_head = graph_.nodes.size() - kClosingNodes - 1;
  const Tensor& rows = step_.value(op_outputs(graph_.nodes[lm_head].op).front());
  QUERN_CHECK(first_row + num_rows <= rows.rows && rows.row_stride == rows.cols);
  const std::int64_t row_bytes = rows.cols * static_cast<std::int64_t>(sizeof(float));
  logits.resize(static_cast<std::size_t>(num_rows * rows.cols));
  backend_->copy_out(logits.data(), rows.data + first_row * row_bytes,
                     std::span(logits).size_bytes());
}

void ModelRunner::copy_blocks(std::span<const BlockCopy> copies) {
  if (!copies.empty()) backend_->copy_blocks(step_.kv_cache, copies);
}

}  // namespace quern
