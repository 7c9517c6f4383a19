#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "quern/engine.h"
#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// Adds --model to a subcommand; `model` must live as long as it.
void add_model_option(CLI::App& app, std::string& model);

/// A model as the command line names it: a folder, or the shape of random weights.
struct SourceOptions {
  std::string model;   ///< empty: not given
  RandomModel random;  ///< its shape is empty where none was given
};

/// Adds --model, and in its place --shape with its options; `source` must live as long as the
/// subcommand.
void add_source_options(CLI::App& app, SourceOptions& source);

/// The model that was asked for. Errors: UsageError for both or none, and for a shape's options
/// without one.
ModelSource chosen_source(const SourceOptions& source);

/// True for random weights, which have no tokenizer.
bool is_random(const ModelSource& source);

/// The model that was asked for, by --model or else QUERN_MODEL. Errors: UsageError when neither
/// names one.
std::string chosen_model(const std::string& given);

/// "auto", "cpu", "cuda" or "cuda:N", to `options`. Errors: UsageError.
void parse_device(const std::string& option, const std::string& value, EngineOptions& options);

/// The dtype of that name, "float16" say or as other engines have it "half" or "fp16"; nothing for
/// the word `unset`. Errors: UsageError.
std::optional<DType> parse_dtype(const std::string& option, const std::string& value,
                                 std::string_view unset);

/// What --quantize names; nothing for "none". Errors: UsageError.
std::optional<DType> parse_quantize(const std::string& option, const std::string& value);

/// What --kv-cache-dtype names. Errors: UsageError.
KvCacheDType parse_kv_cache_dtype(const std::string& option, const std::string& value);

/// Adds device, dtype, quantize, threads and the KV cache's memory and dtype; `options` must live
/// as long as the subcommand.
void add_device_options(CLI::App& app, EngineOptions& options);

/// Adds those and the limits of one sequence; `options` must live as long as the subcommand.
void add_sequence_options(CLI::App& app, EngineOptions& options);

/// Adds all those and --max-seqs; `options` must live as long as the subcommand.
/// Returns --max-seqs, so that a caller can see whether it was given.
CLI::Option* add_engine_options(CLI::App& app, EngineOptions& options);

/// Adds --kv-reservation; `options` must live as long as the subcommand. `fallback` is what help
/// calls its default.
void add_kv_reservation_option(CLI::App& app, EngineOptions& options, const char* fallback);

/// Adds what says how the decode loop runs; returns --device-loop. `options` must live as long as
/// the subcommand.
CLI::Option* add_loop_options(CLI::App& app, EngineOptions& options);

/// How many tokens a sequence may have: max_seq_len where it is set, else what the model's config
/// says. Errors: those of finding and reading it.
int context_of(const EngineOptions& options, const std::string& model);

/// "cpu", "cuda:0": the device of resolved options.
std::string device_name(const EngineOptions& resolved);

/// "auto", "off" or "require", as the option has it.
const char* device_loop_name(DeviceLoopChoice choice);

/// "float32": the activation dtype of resolved options.
std::string dtype_name(const EngineOptions& resolved);

}  // namespace quern::tools
