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
#include "quern/limits.h"
#include "quern/request.h"
#include "quern/tokenizer.h"

namespace quern {

enum class DeviceChoice { automatic, cpu, cuda };

/// A model with random weights in a known shape: for timing, and for comparing backends. It has no
/// tokenizer, so prompts are token ids and results have no text, and no eos_token_ids.
struct RandomModel {
  std::string shape;  ///< one of known_shapes()
  /// Keep only the first num_layers layers; their weights equal the full model's.
  std::optional<int> num_layers = std::nullopt;
  bool outliers = false;  ///< some channels are 2^10 to 2^13 times as large as the others
  std::uint64_t weights_seed = 0;
};

/// Names of the shapes in this build.
QUERN_API std::vector<std::string> known_shapes();

/// A Hugging Face folder or the name of a model in the local Hugging Face cache, as
/// find_model_folder takes them, or random weights.
using ModelSource = std::variant<std::string, RandomModel>;

/// Where the decode loop runs: on the host step by step, or on the GPU, which then ends it on the
/// very step that finishes the sequences and publishes each token as it is sampled. Tokens are the
/// same either way.
enum class DeviceLoopChoice {
  automatic,  ///< the GPU where it can, unless skip_steps or check_interval is set
  off,        ///< the host
  require,    ///< the GPU, or an error
};

/// What the input of a GEMM with a quantized matrix is rounded to.
enum class ActivationQuantization {
  off,         ///< nothing: results are exact to the checkpoint's weights
  checkpoint,  ///< int8 or float8_e4m3, as the checkpoint was made for
  /// int8 in groups of 32 inputs, where the matrix has integers in groups of whole ones: the CPU
  /// then multiplies integers. Not on a GPU.
  int8,
  /// int8 with a scale for each token. With EngineOptions::quantize uint8 the matrices have a scale
  /// for each row (W8A8), and products are of integers on the CPU and the GPU.
  token,
};

/// What the KV cache stores keys and values as. The 8-bit formats round each head's vector of a
/// token to numbers times one float32 scale of its own: about half the memory of 16 bits, so that
/// more tokens fit and attention reads less, for a small error (docs/quantization.md).
enum class KvCacheDType {
  automatic,  ///< the activation dtype: exact
  int8,       ///< integers -127 … 127
  fp8,        ///< float8_e4m3
  k16v8,      ///< keys in the activation dtype, values as int8: for keys with outliers
};

/// "auto", "int8", "fp8", "k16v8".
QUERN_API const char* kv_cache_dtype_name(KvCacheDType dtype);

/// How many KV blocks a sequence holds while it runs.
enum class KvReservation {
  full,  ///< those of its greatest length, from admission on: it never waits for memory
  /// Those of the tokens that it has: more sequences run at a time where texts end before
  /// max_new_tokens. When memory runs out, the sequence that comes last gives its blocks back,
  /// waits and computes them again; its tokens are the same.
  grow,
};

/// How many bytes of the weights are loaded or, for random weights, made.
struct LoadProgress {
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
};

/// Receives the progress of a load. An exception that it throws ends the load and passes on.
using LoadCallback = std::function<void(const LoadProgress&)>;

/// The limits an engine is built for. Memory is planned from them before anything is allocated; if
/// the plan does not fit, the error has the bytes needed and what to lower.
struct EngineOptions {
  DeviceChoice device = DeviceChoice::automatic;
  /// CUDA's index of the GPU (after CUDA_VISIBLE_DEVICES). Unset: the first supported one.
  std::optional<int> device_index;
  /// Activation dtype. Unset: float32 on the CPU; on a GPU the checkpoint's own, float16 for
  /// float32 ones.
  std::optional<DType> dtype;
  /// Quantizes the matrices of the layers at load: uint4, uint8 or float8_e4m3, rounded to nearest,
  /// with a scale for each 128 inputs. Embeddings and lm_head stay as they are. Not for a
  /// checkpoint that is quantized already.
  std::optional<DType> quantize = std::nullopt;
  /// int8 on the CPU alone.
  ActivationQuantization quantize_activations = ActivationQuantization::off;
  int threads = 0;      ///< CPU threads, up to kMaxThreads; 0: all CPUs that the process may use
  int max_seqs = 8;     ///< concurrent sequences, up to kMaxSeqs; further requests wait
  int max_seq_len = 0;  ///< tokens of one sequence; 0: the model's max_position_embeddings
  int max_tokens_per_step = 512;  ///< at least max_seqs; a longer prompt is prefilled in chunks
  /// Tokens of a step in which many sequences decode and few are in prefill; 0: 256 on a GPU, on
  /// the CPU max_tokens_per_step.
  int max_mixed_tokens = 0;
  /// Bytes for the KV cache; more than is free is an error. Unset: enough for max_seqs sequences of
  /// max_seq_len, but at least one and at most a share of the memory that the rest of the plan
  /// leaves free: nine tenths on a GPU, a quarter on the CPU.
  std::optional<std::uint64_t> kv_cache_memory_bytes;
  KvCacheDType kv_cache_dtype = KvCacheDType::automatic;

  /// Unset: full; grow for the engine of a Service.
  std::optional<KvReservation> kv_reservation = std::nullopt;

  /// Keep the KV blocks of finished and running sequences for requests whose prompts begin with the
  /// same tokens; these then compute only the rest of their prompts. Cached blocks are used for
  /// other sequences when memory is needed, the least recently used first. Tokens are the same with
  /// and without; on a GPU up to the last bits of logits, as with any change of a step's size.
  bool prefix_cache = true;

  /// When the host runs the loop, it checks for stops after steps S = skip_steps, S + C, S + 2C, …
  /// (from 1; S = 0: after C), with C = check_interval, and at the limit. Tokens do not change; up
  /// to C - 1 steps may run beyond the end.
  int skip_steps = 0;
  int check_interval = 1;
  DeviceLoopChoice device_loop = DeviceLoopChoice::automatic;

  /// Times every node, see profile() in benchmark.h. The host then launches nodes one by one, which
  /// slows down steps.
  bool profile = false;
  /// Times each step as a whole, and the device's idle time before it: see take_step_times() in
  /// benchmark.h. Costs some microseconds a step.
  bool time_steps = false;

  /// A request's tokens and log-probabilities are the same bits alone and in any batch, with any
  /// chunks of its prompt, cached prefixes and preemptions, on one GPU by one build. On the CPU
  /// they are in any case. On a GPU decoding is somewhat and prefill much slower (docs/cuda.md),
  /// and quantized weights and KV caches are refused as unsupported.
  bool deterministic = false;

  /// Called by Engine::load before the first weight and after each; not kept beyond the load.
  LoadCallback on_load;
};

/// Facts of a checkpoint.
struct ModelInfo {
  std::string name;              ///< the folder, or the shape of random weights
  bool random_weights = false;   ///< the output is meaningless
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
  /// The EOS ids, each with the files that name it: "config.json, tokenizer".
  std::vector<std::pair<std::int32_t, std::string>> eos_token_ids;
  /// generation_config.json's, "chatml" for a first-generation Qwen chat model; else empty.
  std::string chat_format;
  /// generation_config.json's: a first-generation Qwen's chats have at most so many tokens.
  std::optional<int> max_window_size;
};

/// Reads the facts only, from the headers of the model's files; uses no device and plans nothing.
/// Errors: not_found, bad_file and unsupported, naming the file; invalid_argument for an unknown
/// shape.
QUERN_API ModelInfo read_model_info(const ModelSource& model);

/// Planned bytes, before allocation.
struct MemoryPlan {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_cache_bytes = 0;  ///< with scales
  std::uint64_t kv_scale_bytes = 0;  ///< the scales' part of kv_cache_bytes
  std::uint64_t activation_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  std::uint64_t step_input_bytes = 0;  ///< includes the output ring, host memory also on a GPU
  /// An estimate, since CUDA does not report it; Timing::recording_bytes is the measured value. 0
  /// on the CPU, and with a profile.
  std::uint64_t recording_bytes = 0;
  std::int64_t num_kv_blocks = 0;
  int kv_block_tokens = 0;
  int num_recordings = 0;  ///< decode steps recorded at load, one per bucket
  std::uint64_t total_bytes() const {
    return weight_bytes + kv_cache_bytes + activation_bytes + workspace_bytes + step_input_bytes +
           recording_bytes;
  }
};

/// Where a decode loop ran; see DeviceLoopChoice.
enum class LoopRunner { host, device };

/// "host", "device".
QUERN_API const char* loop_runner_name(LoopRunner runner);

/// Counters and times since load (without load_ms). Rates are 0 until they are defined.
struct Timing {
  double load_ms = 0;
  double time_to_first_token_ms =
      0;  ///< of the latest generate() or first step: from submit to the first update
  double prefill_tokens_per_s = 0;
  double decode_tokens_per_s = 0;
  double total_ms = 0;                     ///< spent in step()
  std::uint64_t prefill_tokens = 0;        ///< computed, without those from the prefix cache
  std::uint64_t cached_prompt_tokens = 0;  ///< taken from the prefix cache
  std::uint64_t decode_tokens = 0;         ///< output tokens after each request's first
  std::uint64_t steps_run = 0;             ///< sampling steps, including overshoot
  std::uint64_t stop_checks = 0;           ///< host reads of results with a check for stops
  std::uint64_t host_syncs = 0;            ///< host waits for all of the device's work
  LoopRunner loop = LoopRunner::host;      ///< where the latest decode steps ran
  /// Kernels launched by the latest recorded decode step, including a library's; on the CPU its
  /// nodes.
  std::uint64_t launches_per_step = 0;
  /// Those of them that may begin before the one ahead has ended (programmatic dependent launch);
  /// 0 on GPUs before compute capability 9.0 and with code compiled for them.
  std::uint64_t dependent_launches_per_step = 0;
  std::uint64_t library_calls_per_step = 0;  ///< its GEMMs by a library; 0 on the CPU
  /// Device memory used by recording the decode steps at load, including lazily loaded kernels: the
  /// difference in free memory, which other processes may change too. 0 where nothing is recorded.
  std::uint64_t recording_bytes = 0;
  /// The process's peak resident memory; on a GPU the largest observed use of the device's memory,
  /// by all processes: the plan, CUDA's context, kernels and recordings, other programs.
  std::uint64_t peak_memory_bytes = 0;
};

/// Called with each update as it comes; return false to cancel that request.
using UpdateCallback = std::function<bool(const Update&)>;

/// Receives rows of logits, [any number of rows, vocab_size] row-major, valid during the call.
using LogitsSink = std::function<void(std::span<const float> rows)>;

/// A model on a device, ready to generate. Not thread-safe, except for cancel(). Errors are
/// quern::Error; an engine stays usable after one. A submitted request always ends with an update
/// and a Result: an error of its own, or of the whole engine, gives FinishReason::error. A call
/// restores the calling thread's current CUDA device and context; in a callback or sink they may be
/// the engine's.
class QUERN_API Engine {
 public:
  /// Maximum number of results that wait for take_result(): step() drops those beyond, the oldest
  /// requests' first, but never one of the step before it.
  static constexpr std::size_t kMaxWaitingResults = 16384;

  /// Loads a model folder, or generates random weights. A fallback of DeviceChoice::automatic to
  /// the CPU is logged with its reason, as a warning unless this build has no CUDA and the machine
  /// no GPU. Errors: not_found, bad_file and unsupported, naming the file; invalid_argument, naming
  /// the option; out_of_memory with the bytes planned and what to lower; device.
  static Engine load(const ModelSource& model, const EngineOptions& options = {});

  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Queues a request. Errors: invalid_argument for an empty prompt, a prompt longer than
  /// max_seq_len, ids outside the vocabulary, text that is not UTF-8, sampling values out of range.
  RequestId submit(const Request& request);

  /// Runs one step, or decode steps up to the next stop check, or waits for the next tokens of a
  /// device loop, and returns the new output: possibly none, during prefill or before the stop
  /// check. A step that fails as a whole (device lost, for example) does not throw: it ends all
  /// requests with FinishReason::error and the device's message.
  std::vector<Update> step();

  /// True while requests wait or run.
  bool busy() const;

  /// Ends a request at the next stop check, with FinishReason::cancelled. Unknown and finished ids
  /// are ignored. Thread-safe.
  void cancel(RequestId id);

  /// Takes a finished request's result; nothing while it is running, or after it was taken or
  /// dropped: see kMaxWaitingResults.
  std::optional<Result> take_result(RequestId id);

  /// Submits, steps until all are done, and returns the results in order; some may have ended with
  /// FinishReason::error. Earlier requests run along. Errors: as submit(), and then none of these
  /// requests runs. An exception of `on_update` ends these requests without results and propagates.
  std::vector<Result> generate(std::span<const Request> requests,
                               const UpdateCallback& on_update = {});
  Result generate(const Request& request, const UpdateCallback& on_update = {});

  /// The logits of every position: [token_ids.size(), vocab_size] row-major float32. No request may
  /// be running.
  std::vector<float> logits(std::span<const std::int32_t> token_ids);
  /// The same from position `first` on, in order, a few rows at a time: for long prompts and large
  /// vocabularies, whose logits need not be in memory at once.
  void logits(std::span<const std::int32_t> token_ids, std::size_t first, const LogitsSink& sink);

  /// `request` with the sampling that submit() would use: every field of `sampling` that
  /// generation_config.json or a default fills in is set, with temperature 0 for greedy decoding,
  /// and so is max_new_tokens. An unset seed stays unset.
  /// Errors: invalid_argument for values out of range and, where generation_config.json's
  /// max_length asks for the prompt's length, for a prompt of more than max_seq_len tokens.
  Request resolve(const Request& request) const;

  const Tokenizer& tokenizer() const;
  const ModelInfo& info() const;
  const MemoryPlan& memory_plan() const;
  const EngineOptions& options()
      const;  ///< as resolved: device, dtype, threads and limits that are in force
  Timing timing() const;

 private:
  friend class EngineAccess;  // for benchmark.h
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Weights that are kept in one format.
struct WeightStorage {
  std::string format;  ///< "float16", "uint4 (float16 scales of 128 inputs)"
  std::int64_t num_weights = 0;
  std::uint64_t num_parameters = 0;
  std::uint64_t bytes = 0;  ///< with scales, zero points and the order of inputs
};

/// How a checkpoint is quantized.
struct QuantizationSummary {
  std::string method;              ///< "gptq", "awq", "compressed-tensors" or "fp8"; empty: not
  std::int64_t num_quantized = 0;  ///< modules
  std::vector<std::string> float_modules;    ///< those that the checkpoint has in floats
  std::vector<std::string> widened_modules;  ///< quantized ones that are kept in floats here
  /// GPTQ zero points stored as the largest number, which are taken for 0.
  std::int64_t num_wrapped_zero_points = 0;
};

/// What `Engine::load` would create.
struct ModelSummary {
  ModelInfo info;
  MemoryPlan memory_plan;
  EngineOptions options;               ///< as resolved
  std::string tokenizer;               ///< kind and files, or "none"
  std::string kv_cache;                ///< how keys and values are stored: "float16"
  std::string graph;                   ///< the layer graph, one line a node
  std::vector<WeightStorage> weights;  ///< the largest first
  QuantizationSummary quantization;
};

/// Plans an engine without reading weights or allocating. Errors: those of Engine::load.
QUERN_API ModelSummary inspect(const ModelSource& model, const EngineOptions& options = {});

}  // namespace quern
