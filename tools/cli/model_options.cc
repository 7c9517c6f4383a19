#include "tools/cli/model_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/cli/option_group.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

constexpr const char* kDeviceGroup = "Device and limits";

/// Our names, and those that vLLM, llama.cpp and TensorRT-LLM use.
constexpr std::array<std::pair<std::string_view, DType>, 11> kDTypeNames = {{
    {"float32", DType::float32},
    {"float16", DType::float16},
    {"bfloat16", DType::bfloat16},
    {"float", DType::float32},
    {"fp32", DType::float32},
    {"f32", DType::float32},
    {"half", DType::float16},
    {"fp16", DType::float16},
    {"f16", DType::float16},
    {"bf16", DType::bfloat16},
    {"bfloat", DType::bfloat16},
}};

void parse_device_loop(const std::string& option, const std::string& value,
                       EngineOptions& options) {
  for (const DeviceLoopChoice choice :
       {DeviceLoopChoice::automatic, DeviceLoopChoice::off, DeviceLoopChoice::require}) {
    if (value != device_loop_name(choice)) continue;
    options.device_loop = choice;
    return;
  }
  usage_error("{}: expected auto, off or require, got {}", option, quoted_name(value));
}

/// Errors: UsageError where --quantize w8a8 and --quantize-activations both say what inputs are
/// rounded to.
void check_no_activations(const EngineOptions& options) {
  if (options.quantize_activations == ActivationQuantization::off) return;
  usage_error("--quantize w8a8 and --quantize-activations contradict each other");
}

}  // namespace

void parse_device(const std::string& option, const std::string& value, EngineOptions& options) {
  constexpr std::string_view kCudaIndex = "cuda:";
  options.device_index.reset();
  if (value == "auto") {
    options.device = DeviceChoice::automatic;
  } else if (value == "cpu") {
    options.device = DeviceChoice::cpu;
  } else if (value == "cuda") {
    options.device = DeviceChoice::cuda;
  } else if (value.starts_with(kCudaIndex)) {
    options.device = DeviceChoice::cuda;
    options.device_index = parse_integer(fmt::format("{} {}", option, quoted_name(value)),
                                         value.substr(kCudaIndex.size()), 0);
  } else {
    usage_error("{}: expected auto, cpu, cuda or cuda:N, got {}", option, quoted_name(value));
  }
}

std::optional<DType> parse_dtype(const std::string& option, const std::string& value,
                                 std::string_view unset) {
  if (value == unset) return std::nullopt;
  for (const auto& [name, dtype] : kDTypeNames) {
    if (value == name) return dtype;
  }
  usage_error("{}: expected {}, float32, float16 or bfloat16, got {}", option, unset,
              quoted_name(value));
}

std::optional<DType> parse_quantize(const std::string& option, const std::string& value) {
  if (value == "none") return std::nullopt;
  if (value == "int8") return DType::uint8;
  if (value == "int4") return DType::uint4;
  if (value == "fp8") return DType::float8_e4m3;
  usage_error("{}: expected none, int8, int4, fp8 or w8a8, got {}", option, quoted_name(value));
}

ActivationQuantization parse_activation_quantization(const std::string& option,
                                                     const std::string& value) {
  if (value == "off") return ActivationQuantization::off;
  if (value == "checkpoint") return ActivationQuantization::checkpoint;
  if (value == "int8") return ActivationQuantization::int8;
  if (value == "token") return ActivationQuantization::token;
  usage_error("{}: expected off, checkpoint, int8 or token, got {}", option, quoted_name(value));
}

KvCacheDType parse_kv_cache_dtype(const std::string& option, const std::string& value) {
  for (const KvCacheDType dtype :
       {KvCacheDType::automatic, KvCacheDType::int8, KvCacheDType::fp8, KvCacheDType::k16v8}) {
    if (value == kv_cache_dtype_name(dtype)) return dtype;
  }
  if (value == "fp8_e4m3") return KvCacheDType::fp8;  // vLLM's name
  usage_error("{}: expected auto, int8, fp8 or k16v8, got {}", option, quoted_name(value));
}

void add_model_option(CLI::App& app, std::string& model) {
  OptionGroup group(app, "Model");
  group.value(
      {"-m,--model", "MODEL",
       "A Hugging Face folder, or org/name if it is in the local cache (default: $QUERN_MODEL)"},
      [&model](const std::string& option, const std::string& value) {
        if (value.empty()) usage_error("{}: expected a folder, got ''", option);
        model = value;
      });
}

void add_source_options(CLI::App& app, SourceOptions& source) {
  add_model_option(app, source.model);
  OptionGroup group(app, "Model");
  group.value({"--shape", "NAME",
               fmt::format("In place of a model: random weights of a known shape, one of {}",
                           fmt::join(known_shapes(), ", "))},
              [&source](const std::string& option, const std::string& value) {
                const std::vector<std::string> known = known_shapes();
                if (std::find(known.begin(), known.end(), value) == known.end()) {
                  usage_error("{}: unknown shape {}{}; known are {}", option, quoted_name(value),
                              suggestion(value, known), fmt::join(known, ", "));
                }
                source.random.shape = value;
              });
  group.integer({"--layers", "N", "With --shape: only its first N layers"},
                source.random.num_layers, 1);
  group.flag("--outliers", source.random.outliers,
             "With --shape: make some channels thousands of times as large as the others");
}

ModelSource chosen_source(const SourceOptions& source) {
  const RandomModel& random = source.random;
  if (!random.shape.empty()) {
    if (!source.model.empty()) usage_error("--model and --shape contradict each other");
    return random;
  }
  if (random.num_layers) usage_error("--layers needs --shape");
  if (random.outliers) usage_error("--outliers needs --shape");
  return chosen_model(source.model);
}

bool is_random(const ModelSource& source) { return std::holds_alternative<RandomModel>(source); }

std::string chosen_model(const std::string& given) {
  if (!given.empty()) return given;
  const char* model = std::getenv("QUERN_MODEL");
  if (model == nullptr || *model == '\0') {
    usage_error("no model: give a Hugging Face folder with --model, or set QUERN_MODEL");
  }
  return model;
}

void add_device_options(CLI::App& app, EngineOptions& options) {
  OptionGroup group(app, kDeviceGroup);
  group.value({"--device", "DEVICE", "auto, cpu, cuda or cuda:N (default: auto)"},
              [&options](const std::string& option, const std::string& value) {
                parse_device(option, value, options);
              });
  group.value(
      {"--dtype", "DTYPE",
       "Activations: auto, float32, float16 or bfloat16 (default: auto, on the CPU float32)"},
      [&options](const std::string& option, const std::string& value) {
        options.dtype = parse_dtype(option, value, "auto");
      });
  group.value({"--quantize", "TYPE",
               "Quantize the layers' matrices at load, rounded to nearest in groups of 128: int8, "
               "int4 or fp8; w8a8: int8 by rows, with inputs of int8 by tokens (default: none)"},
              [&options](const std::string& option, const std::string& value) {
                if (value != "w8a8") {
                  options.quantize = parse_quantize(option, value);
                  return;
                }
                check_no_activations(options);
                options.quantize = DType::uint8;
                options.quantize_activations = ActivationQuantization::token;
              });
  group.value(
      {"--quantize-activations", "HOW",
       "Round the inputs of quantized matrices: off, checkpoint (as it was made for), token (int8, "
       "a scale for each) or on the CPU int8 (in groups of 32, to multiply integers; default: "
       "off)"},
      [&options](const std::string& option, const std::string& value) {
        check_no_activations(options);
        options.quantize_activations = parse_activation_quantization(option, value);
      });
  group.integer({"--threads", "N", "CPU threads (default: all that the process may use)"},
                options.threads, 1, kMaxThreads);
  group.value({"--kv-cache-memory", "SIZE", "Memory for the KV cache, such as 512MiB or 2GB"},
              [&options](const std::string& option, const std::string& value) {
                options.kv_cache_memory_bytes = parse_bytes(option, value);
              });
  group.value({"--kv-cache-dtype", "TYPE",
               "Store keys and values as: auto (the activation dtype), int8, fp8 or k16v8 (keys as "
               "auto, values as int8; default: auto)"},
              [&options](const std::string& option, const std::string& value) {
                options.kv_cache_dtype = parse_kv_cache_dtype(option, value);
              });
  group.flag("--deterministic", options.deterministic,
             "The same bits for a request alone and in any batch, also on a GPU: slower prefill, "
             "no quantized weights or KV cache there");
}

CLI::Option* add_engine_options(CLI::App& app, EngineOptions& options) {
  CLI::Option* max_seqs =
      OptionGroup(app, kDeviceGroup)
          .integer({"--max-seqs", "N",
                    fmt::format("Sequences at a time; more prompts wait their turn (default: {})",
                                options.max_seqs)},
                   options.max_seqs, 1, kMaxSeqs);
  add_sequence_options(app, options);
  return max_seqs;
}

void add_sequence_options(CLI::App& app, EngineOptions& options) {
  add_device_options(app, options);
  OptionGroup group(app, kDeviceGroup);
  group.integer({"--max-seq-len", "N", "Tokens of one sequence (default: what the model allows)"},
                options.max_seq_len, 1);
  group.integer(
      {"--max-tokens-per-step", "N", "A longer prompt runs in chunks of this size (default: 512)"},
      options.max_tokens_per_step, 1);
  group.off_flag("--no-prefix-cache", options.prefix_cache,
                 "Compute every prompt from its first token, also where prompts begin alike");
}

void add_kv_reservation_option(CLI::App& app, EngineOptions& options, const char* fallback) {
  OptionGroup group(app, kDeviceGroup);
  group.value({"--kv-reservation", "HOW",
               fmt::format("KV blocks of a sequence: full, those of its greatest length from the "
                           "start, or grow, as it decodes; where memory runs out, the last "
                           "sequence waits and is computed again (default: {})",
                           fallback)},
              [&options](const std::string& option, const std::string& value) {
                if (value == "full") {
                  options.kv_reservation = KvReservation::full;
                } else if (value == "grow") {
                  options.kv_reservation = KvReservation::grow;
                } else {
                  usage_error("{}: expected full or grow, got {}", option, quoted_name(value));
                }
              });
}

CLI::Option* add_loop_options(CLI::App& app, EngineOptions& options) {
  OptionGroup group(app, kDeviceGroup);
  group.integer({"--skip-steps", "N", "Make the first stop check after step N (default: 0)"},
                options.skip_steps, 0);
  group.integer({"--check-interval", "N", "Then check for stops every N steps (default: 1)"},
                options.check_interval, 1);
  group.integer(
      {"--max-mixed-tokens", "N",
       "Tokens of a step in which many sequences decode and few prompts run (default: 256 "
       "on a GPU)"},
      options.max_mixed_tokens, 1);
  return group.value({"--device-loop", "WHEN",
                      "Run the decode loop on the GPU without the host: auto, off or require "
                      "(default: auto, where "
                      "it can and neither of the two above is given)"},
                     [&options](const std::string& option, const std::string& value) {
                       parse_device_loop(option, value, options);
                     });
}

int context_of(const EngineOptions& options, const std::string& model) {
  if (options.max_seq_len != 0) return options.max_seq_len;
  return read_model_info(model).max_position_embeddings;
}

std::string device_name(const EngineOptions& resolved) {
  if (resolved.device == DeviceChoice::cuda)
    return fmt::format("cuda:{}", resolved.device_index.value_or(0));
  return "cpu";
}

const char* device_loop_name(DeviceLoopChoice choice) {
  switch (choice) {
    case DeviceLoopChoice::automatic:
      return "auto";
    case DeviceLoopChoice::off:
      return "off";
    case DeviceLoopChoice::require:
      break;
  }
  return "require";
}

std::string dtype_name(const EngineOptions& resolved) {
  return quern::dtype_name(resolved.dtype.value_or(DType::float32));
}

}  // namespace quern::tools
