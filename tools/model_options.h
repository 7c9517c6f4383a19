#pragma once

#include <string>

#include "quern/engine.h"
#include "tools/cli_forward.h"

namespace quern::tools {

/// Adds --model to a subcommand; `model` must live as long as it.
void add_model_option(CLI::App& app, std::string& model);

/// The model that was asked for, by --model or else QUERN_MODEL. Errors: UsageError when neither
/// names one.
std::string chosen_model(const std::string& given);

/// Adds device, dtype, threads and the limits; `options` must live as long as the subcommand.
/// Returns --max-seqs, so that a caller can see whether it was given.
CLI::Option* add_engine_options(CLI::App& app, EngineOptions& options);

/// "auto", "cpu", "cuda" or "cuda:N". Errors: UsageError.
void parse_device(const std::string& option, const std::string& value, EngineOptions& options);

/// "auto", "float32", "float16" or "bfloat16". Errors: UsageError.
void parse_dtype(const std::string& option, const std::string& value, EngineOptions& options);

/// "cpu", "cuda:0": the device of resolved options.
std::string device_name(const EngineOptions& resolved);

/// "float32": the activation dtype of resolved options.
std::string dtype_name(const EngineOptions& resolved);

}  // namespace quern::tools
