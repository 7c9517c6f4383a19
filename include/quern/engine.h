#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "quern/dtype.h"
#include "quern/export.h"
#include "quern/request.h"
#include "quern/tokenizer.h"

namespace quern {

enum class DeviceChoice { automatic, cpu, cuda };

/// A model of random weights in a known shape: for timing, and for comparing backends. It has no
/// tokenizer, so prompts are token ids and answers have no text, and no end ids.
struct RandomModel {
  std::string shape;  ///< one of known_shapes()
  /// Only the first so many; they are the same as in the whole model.
  std::optional<int> num_layers = std::nullopt;
  bool outliers = false;  ///< some channels 2^10 to 2^13 times as large as the others
  std::uint64_t weights_seed = 0;
};

/// The names of the shapes that this build knows.
QUERN_API std::vector<std::string> known_shapes();

/// A Hugging Face folder (or the name of a model in the local Hugging Face cache), or random
/// weights.
using ModelSource = std::variant<std::string, RandomModel>;

/// Who runs the decode loop: the host step by step, or a GPU by itself, which then ends it on the
/// very step that ends the sequences, and tells each token as it comes. No token depends on it.
enum class DeviceLoopChoice {
  automatic,  ///< the GPU where it can, unless skip_steps or check_interval is set
  off,        ///< the host
  require,    ///< the GPU, or an error
};

/// The limits an engine is built for. Memory is planned from them before anything is allocated;
/// what does not fit is an error that says in bytes what was needed and what to lower.
struct EngineOptions {
  DeviceChoice device = DeviceChoice::automatic;
  int device_index = 0;  ///< which GPU
  /// Activation dtype. Unset: float32 on the CPU; on a GPU the checkpoint's own, float16 for
  /// float32 ones.
  std::optional<DType> dtype;
  int threads = 0;      ///< CPU threads; 0: all that the process may use
  int max_seqs = 8;     ///< sequences at a time; more requests wait their turn
  int max_seq_len = 0;  ///< tokens of one sequence; 0: the model's max_position_embeddings
  int max_tokens_per_step = 512;  ///< a longer prompt runs in chunks
  /// Bytes for the KV cache; more than is free is an error. Unset: enough for max_seqs sequences of
  /// max_seq_len, at most a quarter of the memory that the rest leaves free on the CPU, nine tenths
  /// on a GPU.
  std::optional<std::uint64_t> kv_cache_memory_bytes;

  /// When it runs the loop, the host looks at the results after steps S, S + C, S + 2C, … (from 1;
  /// S = 0: after C) and at the limit. No token changes; up to C - 1 steps may run beyond the end.
  int skip_steps = 0;
  int check_interval = 1;
  DeviceLoopChoice device_loop = DeviceLoopChoice::automatic;

  /// Times every node, see Engine::profile(). The host then runs each node by itself, so the whole
  /// is slower.
  bool profile = false;
};

/// A checkpoint's facts, for people and programs.
struct ModelInfo {
  std::string name;              ///< the folder, or the shape of random weights
  bool random_weights = false;   ///< nothing that such a model says means anything
  std::filesystem::path folder;  ///< empty for random weights
  std::string model_type;
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  int max_position_embeddings = 0;
  std::uint64_t num_parameters = 0;
  std::optional<DType> checkpoint_dtype;
  /// End ids and what names each: "config.json, tokenizer".
  std::vector<std::pair<std::int32_t, std::string>> eos_token_ids;
};

/// Bytes, as planned before allocation.
struct MemoryPlan {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_cache_bytes = 0;
  std::uint64_t activation_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t step_input_bytes = 0;  ///< with the output ring, host memory also on a GPU
  /// An estimate, since only CUDA knows; Timing::recording_bytes has what was measured. 0 on the
  /// CPU, and with a profile.
  std::uint64_t recording_bytes = 0;
  std::int64_t num_kv_blocks = 0;
  int kv_block_tokens = 0;
  int num_recordings = 0;  ///< decode steps that are recorded while loading, one a batch shape
  std::uint64_t total_bytes() const {
    return weight_bytes + kv_cache_bytes + activation_bytes + workspace_bytes + step_input_bytes +
           recording_bytes;
  }
};

/// What a step cannot do without, counted from shapes: every operand moved once.
struct StepCost {
  double weight_bytes = 0;
  double kv_bytes = 0;          ///< read from and appended to the KV cache
  double activation_bytes = 0;  ///< which may well stay in a GPU's caches
  double flops = 0;
};

/// Who ran a decode loop; see DeviceLoopChoice.
enum class LoopRunner { host, device };

/// "host", "device".
QUERN_API const char* loop_runner_name(LoopRunner runner);

/// Counters and times since loading (load_ms apart). Rates are 0 until there is something to
/// divide.
struct Timing {
  double load_ms = 0;
  double time_to_first_token_ms =
      0;  ///< of the latest generate() or first step: from submit to the first update
  double prefill_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
  double total_ms = 0;  ///< spent in step()
  std::uint64_t prefill_tokens = 0;
  std::uint64_t decode_tokens = 0;     ///< output tokens after each request's first
  std::uint64_t steps_run = 0;         ///< steps that sampled, overshoot included
  std::uint64_t stop_checks = 0;       ///< times the host looked
  std::uint64_t host_syncs = 0;        ///< times the host waited until the device had done all
  LoopRunner loop = LoopRunner::host;  ///< who ran the latest decode steps
  /// Kernels that the latest recorded decode step launches, a library's included; on the CPU its
  /// nodes.
  std::uint64_t launches_per_step = 0;
  std::uint64_t library_calls_per_step = 0;  ///< its library matrix products; 0 on the CPU
  /// Device memory that recording the decode steps took while loading, with the kernels' code that
  /// CUDA loaded for it: the difference in free memory, so other programs' doings count. 0 where
  /// nothing is recorded.
  std::uint64_t recording_bytes = 0;
  /// The process's peak resident memory; on a GPU the most that was seen in use on the device, by
  /// whomever: the plan, CUDA's context, kernels and recordings, other programs.
  std::uint64_t peak_memory_bytes = 0;
};

/// What the nodes of one kind, the same in every layer, took in an average step.
struct NodeProfile {
  std::string kind;  ///< "qkv", "attention": the node's name without its layer
  double count_per_step = 0;
  double us_per_step = 0;     ///< of all of them; on a GPU without what launching takes the host
  double bytes_per_step = 0;  ///< that they cannot help but move: weights, cache, input, output
  double gbps() const { return us_per_step > 0 ? bytes_per_step / us_per_step / 1e3 : 0; }
};

/// Steps of one phase; one that mixes both counts as prefill.
struct PhaseProfile {
  std::uint64_t num_steps = 0;
  std::vector<NodeProfile> nodes;  ///< in the graph's order
};

struct Profile {
  double read_gbps = 0;  ///< that plain reading reaches on the device, measured at loading
  PhaseProfile prefill;
  PhaseProfile decode;
};

/// Called with each update as it comes; return false to cancel that request.
using UpdateCallback = std::function<bool(const Update&)>;

/// Receives rows of logits, [any number of rows, vocab_size] row-major, which live for the call.
using LogitsSink = std::function<void(std::span<const float> rows)>;

/// A model on a device, ready to generate. Use it from one thread at a time; cancel() alone may
/// come from any thread. Errors are quern::Error; an engine stays usable after one. A request that
/// was submitted always ends with an update and a Result: what goes wrong with it, or with all of
/// them, ends them with FinishReason::error.
class QUERN_API Engine {
 public:
  /// Results that wait for take_result(): step() drops those beyond, the oldest requests' first,
  /// but never one of the step before it.
  static constexpr std::size_t kMaxWaitingResults = 16384;

  /// Reads a model folder, or makes random weights.
  static Engine load(const ModelSource& model, const EngineOptions& options = {});

  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Queues a request. Errors: invalid_argument for an empty prompt, a prompt longer than
  /// max_seq_len, ids outside the vocabulary, text that is not UTF-8, sampling values out of range.
  RequestId submit(const Request& request);

  /// Runs one step, or decode steps up to the next look at the results, or waits for the next
  /// tokens of a loop that the device runs by itself, and returns what is new: perhaps nothing,
  /// while a prompt is still in prefill or the look is yet to come. A step that fails as a whole,
  /// of a device that is lost for example, does not throw: it ends all requests with
  /// FinishReason::error and the device's message.
  std::vector<Update> step();

  /// True while requests wait or run.
  bool busy() const;

  /// Ends a request at the next look, with FinishReason::cancelled. Unknown and finished ids are
  /// ignored. Thread-safe.
  void cancel(RequestId id);

  /// Takes a finished request's result; nothing while it still runs or when it was taken or dropped
  /// before: see kMaxWaitingResults.
  std::optional<Result> take_result(RequestId id);

  /// Submits, steps until all are done, and returns the results in order; some may have ended with
  /// FinishReason::error. Requests submitted earlier run along. Errors: as submit(), and then none
  /// of these requests runs. An exception that `on_update` throws ends these requests without
  /// results, and passes on.
  std::vector<Result> generate(std::span<const Request> requests,
                               const UpdateCallback& on_update = {});
  Result generate(const Request& request, const UpdateCallback& on_update = {});

  /// The logits of every position: [token_ids.size(), vocab_size] row-major float32. No request may
  /// be running.
  std::vector<float> logits(std::span<const std::int32_t> token_ids);
  /// The same from position `first` on, a few rows at a time, in order: for long prompts and large
  /// vocabularies, whose logits need not lie in memory all at once.
  void logits(std::span<const std::int32_t> token_ids, std::size_t first, const LogitsSink& sink);

  const Tokenizer& tokenizer() const;
  const ModelInfo& info() const;
  const MemoryPlan& memory_plan() const;
  const EngineOptions& options()
      const;  ///< as resolved: device, dtype, threads and limits that are in force
  Timing timing() const;
  /// Of a step that decodes one token for each of `num_seqs` sequences with `kv_len` tokens each,
  /// the new one included.
  StepCost decode_cost(int num_seqs, int kv_len) const;
  /// Of a step that runs `num_seqs` prompts of `prompt_len` tokens each, whole.
  StepCost prefill_cost(int num_seqs, int prompt_len) const;
  /// The bandwidth, in GB/s, that plain reading of the device's memory reaches; takes some
  /// milliseconds. Errors: out_of_memory without a free gigabyte on a GPU.
  double measure_read_gbps();
  /// The rate, in TFLOP/s, of a large matrix product in the activation dtype: cuBLASLt's on a GPU,
  /// our own on the CPU. Errors: out_of_memory; device without cuBLASLt.
  double measure_product_tflops();
  /// Since loading. Errors: invalid_argument unless EngineOptions::profile is set.
  Profile profile() const;
  /// The layer graph with the runtime's nodes, one line a node.
  std::string graph_dump() const;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What `Engine::load` would build, without reading weights into memory or allocating: for `quern
/// inspect`.
struct ModelSummary {
  ModelInfo info;
  MemoryPlan memory_plan;
  EngineOptions options;  ///< as resolved
  std::string tokenizer;  ///< kind and files
  std::string graph;      ///< see Engine::graph_dump
};
QUERN_API ModelSummary inspect(const ModelSource& model, const EngineOptions& options = {});

}  // namespace quern
