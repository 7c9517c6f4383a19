#include "runtime/load/engine_plan.h"

#include <algorithm>

#include "backend/executor.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory/shape.h"
#include "base/system/system.h"
#include "model/config/config_rope.h"
#include "runtime/load/backend_choice.h"
#include "runtime/load/timed_phase.h"
#include "runtime/load/weight_placement.h"
#include "runtime/run/step_arrays.h"

namespace quern {
namespace {

constexpr int kMinLogitRows = 64;
/// Launching a device loop costs about as much as ten of its steps on the smallest models.
constexpr int kDeviceLoopSteps = 128;
/// Where 16-bit products stop waiting for the weights: after 160 to 220 rows on A100, H100 and
/// H200. Whole tiles of 128 rows.
constexpr int kMixedTokens = 256;

void require_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    fail(ErrorCode::invalid_argument, "{} {}: expected {} to {}", name, value, low, high);
  }
}

std::string mebibytes(std::uint64_t bytes) {
  return fmt::format("{} bytes ({:.1f} MiB)", bytes, static_cast<double>(bytes) / (1 << 20));
}

/// Whether the decode loop runs on the device.
bool chooses_device_loop(const EngineOptions& options, const Backend& backend) {
  if (options.profile && options.device_loop == DeviceLoopChoice::require) {
    fail(ErrorCode::invalid_argument, "device_loop require: profile runs each node from the host");
  }
  if (options.profile || options.device_loop == DeviceLoopChoice::off) return false;
  const std::string obstacle = backend.device_loop_obstacle();
  if (options.device_loop == DeviceLoopChoice::require) {
    if (!obstacle.empty()) fail(ErrorCode::unsupported, "device_loop require: {}", obstacle);
    return true;
  }
  // An explicit check schedule asks for a host loop.
  if (options.skip_steps != 0 || options.check_interval != 1) return false;
  if (!obstacle.empty() && backend.device().kind == DeviceKind::cuda) {
    log(LogLevel::info, "the host runs the decode loop: {}", obstacle);
  }
  return obstacle.empty();
}

/// Whether the host launches steps before it knows the results of the one ahead.
bool runs_ahead(const EngineOptions& options, const Backend& backend, bool device_loop) {
  if (!backend.is_asynchronous() || options.profile) return false;
  const bool free_to_choose = options.device_loop == DeviceLoopChoice::automatic &&
                              options.skip_steps == 0 && options.check_interval == 1;
  return device_loop || free_to_choose;
}

/// Maximum number of sampling steps that the host may leave unread.
int ring_capacity(const EngineOptions& options, const EnginePlan& plan) {
  const int wanted =
      plan.device_loop ? kDeviceLoopSteps : std::max(options.skip_steps, options.check_interval);
  const int fewest = plan.runs_ahead ? kUnitsAhead : 1;
  return std::max(std::clamp(options.max_seq_len, 1, wanted), fewest);
}

int max_mixed_tokens(const EngineOptions& options, const Backend& backend) {
  if (options.max_mixed_tokens > 0) return options.max_mixed_tokens;
  return backend.device().kind == DeviceKind::cpu ? options.max_tokens_per_step : kMixedTokens;
}

void resolve_max_seq_len(const ModelConfig& config, EngineOptions& options) {
  const auto context =
      static_cast<int>(std::min<std::int64_t>(defined_context(config), kMaxTokens));
  if (options.max_seq_len == 0) {
    options.max_seq_len = context;
  } else if (options.max_seq_len > context && !extends_context(config)) {
    fail(ErrorCode::invalid_argument, "max_seq_len {}: expected at most {}, the model's {}",
         options.max_seq_len, context,
         context == config.max_position_embeddings ? "max_position_embeddings"
                                                   : "max_position_embeddings times rope's factor");
  }
}

KvFormat chosen_kv_format(KvCacheDType dtype, DType activation_dtype) {
  switch (dtype) {
    case KvCacheDType::automatic:
      break;
    case KvCacheDType::int8:
      return kv_format(DType::uint8, DType::uint8);
    case KvCacheDType::fp8:
      return kv_format(DType::float8_e4m3, DType::float8_e4m3);
    case KvCacheDType::k16v8:
      return kv_format(activation_dtype, DType::uint8);
  }
  return unscaled_kv_format(activation_dtype);
}

class Planner {
 public:
  Planner(const OpenedModel& model, const Backend& backend, std::uint64_t available_bytes,
          bool device_loop, KvCacheDType kv_cache_dtype)
      : model_(model),
        backend_(backend),
        available_bytes_(available_bytes),
        device_loop_(device_loop),
        kv_format_(chosen_kv_format(kv_cache_dtype, model.graph.activation_dtype)) {
    const auto formats = stored_formats(model);
    for (std::size_t i = 0; i < formats.size(); ++i) {
      const WeightSpec& spec = model.graph.weights[i];
      const std::size_t bytes =
          storage_bytes(formats[i], spec.shape(), backend.prepare(formats[i], spec.use));
      weight_bytes_ += align_up(bytes, Arena::kAlignment);
    }
    check_kv_format(kv_format_, model.graph.activation_dtype);
    const KvBlockBytes block = kv_block_bytes(kv_geometry(model.graph), kv_format_, kBlockSize);
    block_bytes_ = block.total();
    block_scale_bytes_ = block.scales();
  }

  /// The plan for these options with the smallest useful cache: one sequence of max_seq_len.
  EnginePlan smallest(const EngineOptions& options) const {
    EnginePlan plan;
    plan.options = options;
    plan.limits.max_seqs = options.max_seqs;
    plan.limits.max_seq_len = options.max_seq_len;
    plan.limits.max_tokens_per_step = options.max_tokens_per_step;
    plan.limits.max_mixed_tokens = max_mixed_tokens(options, backend_);
    plan.limits.max_logit_rows =
        std::max(options.max_seqs, std::min(options.max_tokens_per_step, kMinLogitRows));
    plan.limits.block_size = kBlockSize;
    plan.kv_format = kv_format_;
    plan.device_loop = device_loop_;
    plan.runs_ahead = runs_ahead(options, backend_, device_loop_);
    plan.ring_capacity = ring_capacity(options, plan);
    plan.activations = plan_activations(model_.graph, plan.limits);
    plan.memory.weight_bytes = weight_bytes_;
    plan.memory.activation_bytes = plan.activations.total_bytes;
    plan.memory.workspace_bytes = workspace_bytes(backend_, model_.graph, plan.limits);
    plan.memory.step_input_bytes = StepArrays::bytes(plan.limits, plan.ring_capacity) +
                                   StepArrays::shared_bytes(plan.limits, plan.ring_capacity);
    plan_recordings(plan);
    set_blocks(plan, plan.limits.max_blocks_per_seq());
    return plan;
  }

  bool fits(const EnginePlan& plan) const {
    return plan.memory.total_bytes() <= available_bytes_ &&
           plan.memory.kv_cache_bytes <= plan.options.kv_cache_memory_bytes.value_or(UINT64_MAX);
  }

  /// Sizes the cache: as asked for, or as all sequences can use within a share of the free memory.
  /// Errors: out_of_memory for more than is free.
  void grow_cache(EnginePlan& plan) const {
    const auto smallest_blocks = plan.limits.num_blocks;
    const std::uint64_t rest = available_bytes_ - plan.memory.total_bytes();
    // A GPU's memory is assumed to be ours; the host's is shared with other processes.
    const std::uint64_t share =
        backend_.device().kind == DeviceKind::cpu ? rest / 4 : rest / 10 * 9;
    const std::uint64_t budget =
        plan.options.kv_cache_memory_bytes.value_or(std::max(plan.memory.kv_cache_bytes, share));
    const auto affordable = static_cast<std::int64_t>(budget / block_bytes_);
    const std::int64_t useful = smallest_blocks * plan.limits.max_seqs;
    set_blocks(plan, std::clamp(affordable, smallest_blocks, useful));
    if (!fits(plan)) refuse_cache(plan);
  }

  [[noreturn]] void refuse(const EnginePlan& plan) const {
    const MemoryPlan& memory = plan.memory;
    if (const auto asked = plan.options.kv_cache_memory_bytes;
        asked && memory.kv_cache_bytes > *asked) {
      fail(ErrorCode::out_of_memory,
           "one sequence of {} tokens needs a KV cache of {}, kv_cache_memory gives {}: "
           "lower max_seq_len or raise kv_cache_memory",
           plan.limits.max_seq_len, mebibytes(memory.kv_cache_bytes), mebibytes(*asked));
    }
    fail(ErrorCode::out_of_memory,
         "{} needed, {} available: weights {}, KV cache {} (one sequence of {} tokens), "
         "activations {}, workspace {}, step inputs {}, recordings {}: lower max_seq_len, max_seqs "
         "or "
         "max_tokens_per_step, or take a smaller model or dtype",
         mebibytes(memory.total_bytes()), mebibytes(available_bytes_), memory.weight_bytes,
         memory.kv_cache_bytes, plan.limits.max_seq_len, memory.activation_bytes,
         memory.workspace_bytes, memory.step_input_bytes, memory.recording_bytes);
  }

 private:
  /// Decode steps are recorded where the host would launch them; a profile runs the graph node by
  /// node.
  void plan_recordings(EnginePlan& plan) const {
    if (!backend_.is_asynchronous() || plan.options.profile) return;
    plan.decode_buckets = DecodeBuckets(plan.limits.max_seqs, plan.limits.max_seq_len);
    const auto loop = plan.device_loop ? RecordedLoop::device : RecordedLoop::host;
    const std::size_t count = plan.decode_buckets.shapes().size();
    plan.memory.num_recordings = static_cast<int>(count);
    plan.memory.recording_bytes = count * backend_.recording_bytes(model_.graph.nodes, loop);
  }

  [[noreturn]] void refuse_cache(const EnginePlan& plan) const {
    const MemoryPlan& memory = plan.memory;
    const std::uint64_t others = memory.total_bytes() - memory.kv_cache_bytes;
    fail(ErrorCode::out_of_memory,
         "{} needed, {} available: KV cache {}, all else {}: lower kv_cache_memory to at most {}, "
         "or lower max_seqs or max_seq_len",
         mebibytes(memory.total_bytes()), mebibytes(available_bytes_),
         mebibytes(memory.kv_cache_bytes), others, available_bytes_ - others);
  }

  void set_blocks(EnginePlan& plan, std::int64_t num_blocks) const {
    plan.limits.num_blocks = num_blocks;
    plan.memory.num_kv_blocks = num_blocks;
    plan.memory.kv_block_tokens = kBlockSize;
    plan.memory.kv_cache_bytes = static_cast<std::uint64_t>(num_blocks) * block_bytes_;
    plan.memory.kv_scale_bytes = static_cast<std::uint64_t>(num_blocks) * block_scale_bytes_;
  }

  const OpenedModel& model_;
  const Backend& backend_;
  std::uint64_t available_bytes_;
  bool device_loop_;
  KvFormat kv_format_;
  std::uint64_t weight_bytes_ = 0;
  std::uint64_t block_bytes_ = 0;
  std::uint64_t block_scale_bytes_ = 0;
};

}  // namespace

EngineOptions resolve_options(EngineOptions options) {
  // A caller in another language can pass any number.
  require_range("device", static_cast<int>(options.device), 0,
                static_cast<int>(DeviceChoice::cuda));
  require_range("device_loop", static_cast<int>(options.device_loop), 0,
                static_cast<int>(DeviceLoopChoice::require));
  require_range("device_index", options.device_index.value_or(0), 0, INT32_MAX);
  require_range("kv_reservation",
                static_cast<int>(options.kv_reservation.value_or(KvReservation::full)), 0,
                static_cast<int>(KvReservation::grow));
  require_range("kv_cache_dtype", static_cast<int>(options.kv_cache_dtype), 0,
                static_cast<int>(KvCacheDType::k16v8));
  choose_device(options);
  if (options.dtype && *options.dtype != DType::float32 && *options.dtype != DType::float16 &&
      *options.dtype != DType::bfloat16) {
    fail(ErrorCode::invalid_argument, "dtype {}: expected float32, float16 or bfloat16",
         dtype_name(*options.dtype));
  }
  if (options.quantize && *options.quantize != DType::uint4 && *options.quantize != DType::uint8 &&
      *options.quantize != DType::float8_e4m3) {
    fail(ErrorCode::invalid_argument, "quantize {}: expected uint4, uint8 or float8_e4m3",
         dtype_name(*options.quantize));
  }
  require_range("quantize_activations", static_cast<int>(options.quantize_activations), 0,
                static_cast<int>(ActivationQuantization::token));
  if (options.quantize_activations == ActivationQuantization::int8 &&
      options.device != DeviceChoice::cpu) {
    fail(ErrorCode::unsupported,
         "quantize_activations int8: expected off, checkpoint or token on a GPU; use the CPU");
  }
  if (options.deterministic && options.device != DeviceChoice::cpu &&
      options.kv_cache_dtype != KvCacheDType::automatic) {
    fail(ErrorCode::unsupported,
         "deterministic: expected kv_cache_dtype auto on a GPU, got {}; use the CPU",
         kv_cache_dtype_name(options.kv_cache_dtype));
  }
  require_range("threads", options.threads, 0, kMaxThreads);
  require_range("max_seqs", options.max_seqs, 1, kMaxSeqs);
  require_range("max_seq_len", options.max_seq_len, 0, kMaxTokens);
  require_range("max_tokens_per_step", options.max_tokens_per_step, options.max_seqs, kMaxTokens);
  require_range("max_mixed_tokens", options.max_mixed_tokens, 0, kMaxTokens);
  require_range("skip_steps", options.skip_steps, 0, INT32_MAX);
  require_range("check_interval", options.check_interval, 1, INT32_MAX);
  if (!options.kv_reservation) options.kv_reservation = KvReservation::full;
  if (options.threads == 0) options.threads = available_threads();
  return options;
}

EnginePlan plan_engine(const OpenedModel& model, const Backend& backend,
                       const EngineOptions& resolved) {
  const TimedPhase phase("planning the memory");
  const std::uint64_t available_bytes = backend.available_bytes();
  const Planner planner(model, backend, available_bytes, chooses_device_loop(resolved, backend),
                        resolved.kv_cache_dtype);
  EngineOptions options = resolved;
  options.dtype = model.graph.activation_dtype;
  resolve_max_seq_len(model.config, options);
  EnginePlan plan = planner.smallest(options);
  const int wanted = options.max_seq_len;
  while (!planner.fits(plan) && resolved.max_seq_len == 0 && options.max_seq_len > kBlockSize) {
    options.max_seq_len /= 2;
    plan = planner.smallest(options);
  }
  if (!planner.fits(plan)) planner.refuse(plan);
  if (options.max_seq_len != wanted) {
    log(LogLevel::warning, "max_seq_len lowered from {} to {}: {} of memory are available", wanted,
        options.max_seq_len, mebibytes(available_bytes));
  }
  planner.grow_cache(plan);
  check_support(backend, model.graph, plan.limits);
  return plan;
}

}  // namespace quern
