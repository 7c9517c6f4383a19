#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "quern/engine.h"
#include "quern/text.h"
#include "quern/tokenizer.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/output/console.h"
#include "tools/output/json_output.h"
#include "tools/output/output_options.h"
#include "tools/output/text_table.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct InspectOptions {
  SourceOptions source;
  EngineOptions engine;
  bool graph = false;
  OutputOptions output;
};

std::string checkpoint_dtype(const ModelInfo& info) {
  return info.checkpoint_dtype ? quern::dtype_name(*info.checkpoint_dtype) : "mixed";
}

/// The token's written form; a model may end on an id that its tokenizer does not name, and random
/// weights have no tokenizer.
std::string token_text(const Tokenizer* tokenizer, std::int32_t id) {
  return tokenizer != nullptr && id < tokenizer->vocab_size() ? tokenizer->token_bytes(id) : "";
}

OrderedJson storage_json(const ModelSummary& summary) {
  OrderedJson formats = OrderedJson::array();
  for (const WeightStorage& storage : summary.weights) {
    formats.push_back({{"format", storage.format},
                       {"num_weights", storage.num_weights},
                       {"num_parameters", storage.num_parameters},
                       {"bytes", storage.bytes}});
  }
  return formats;
}

OrderedJson quantization_json(const QuantizationSummary& quantization) {
  if (quantization.method.empty()) return nullptr;
  return {{"method", quantization.method},
          {"num_quantized", quantization.num_quantized},
          {"float_modules", quantization.float_modules},
          {"widened_modules", quantization.widened_modules},
          {"num_wrapped_zero_points", quantization.num_wrapped_zero_points}};
}

OrderedJson inspect_json(const ModelSummary& summary, const Tokenizer* tokenizer, bool graph) {
  const ModelInfo& info = summary.info;
  const MemoryPlan& plan = summary.memory_plan;
  OrderedJson eos_token_ids = OrderedJson::array();
  for (const auto& [id, sources] : info.eos_token_ids) {
    eos_token_ids.push_back(
        {{"id", id}, {"token", token_text(tokenizer, id)}, {"sources", sources}});
  }
  OrderedJson json = subject_json(info, summary.options);
  json.update({{"model_type", info.model_type},
               {"num_parameters", info.num_parameters},
               {"checkpoint_dtype", checkpoint_dtype(info)},
               {"weight_formats", storage_json(summary)},
               {"quantization", quantization_json(summary.quantization)},
               {"vocab_size", info.vocab_size},
               {"hidden_size", info.hidden_size},
               {"intermediate_size", info.intermediate_size},
               {"num_hidden_layers", info.num_hidden_layers},
               {"num_attention_heads", info.num_attention_heads},
               {"num_key_value_heads", info.num_key_value_heads},
               {"head_dim", info.head_dim},
               {"max_position_embeddings", info.max_position_embeddings},
               {"tokenizer", summary.tokenizer},
               {"kv_cache", summary.kv_cache},
               {"eos_token_ids", std::move(eos_token_ids)},
               {"limits",
                {{"max_seqs", summary.options.max_seqs},
                 {"max_seq_len", summary.options.max_seq_len},
                 {"max_tokens_per_step", summary.options.max_tokens_per_step}}},
               {"memory_plan",
                {{"weight_bytes", plan.weight_bytes},
                 {"kv_cache_bytes", plan.kv_cache_bytes},
                 {"kv_scale_bytes", plan.kv_scale_bytes},
                 {"activation_bytes", plan.activation_bytes},
                 {"workspace_bytes", plan.workspace_bytes},
                 {"step_input_bytes", plan.step_input_bytes},
                 {"recording_bytes", plan.recording_bytes},
                 {"total_bytes", plan.total_bytes()},
                 {"num_kv_blocks", plan.num_kv_blocks},
                 {"kv_block_tokens", plan.kv_block_tokens},
                 {"num_recordings", plan.num_recordings}}}});
  if (graph) json["graph"] = summary.graph;
  return json;
}

/// How many there are and the first few names.
std::string short_list(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNamed = 3;
  const std::size_t shown = std::min(names.size(), kMaxNamed);
  std::string text = std::to_string(names.size());
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? ": " : ", ") + names[i];
  return names.size() > shown ? text + ", …" : text;
}

void add_storage_rows(const ModelSummary& summary, TextTable& table) {
  table.heading("Weights");
  for (const WeightStorage& storage : summary.weights) {
    table.row(human_bytes(storage.bytes),
              fmt::format("{} of {}, {} parameters", storage.num_weights, storage.format,
                          grouped_digits(storage.num_parameters)));
  }
  const QuantizationSummary& quantization = summary.quantization;
  if (quantization.method.empty()) return;
  table.row("quantized",
            fmt::format("{} matrices by {}", quantization.num_quantized, quantization.method));
  table.row("left in floats", short_list(quantization.float_modules));
  if (!quantization.widened_modules.empty()) {
    table.row("kept in floats", short_list(quantization.widened_modules));
  }
  if (quantization.num_wrapped_zero_points > 0) {
    table.row("ambiguous zero points", fmt::format("{} stored as the largest number, taken for 0",
                                                   quantization.num_wrapped_zero_points));
  }
}

void add_model_rows(const ModelInfo& info, const std::string& tokenizer, TextTable& table) {
  table.heading("Model");
  table.row(info.random_weights ? "shape" : "folder", info.name);
  if (info.random_weights) table.row("weights", "random");
  table.row("model type", info.model_type);
  table.row("parameters", grouped_digits(info.num_parameters));
  table.row("checkpoint dtype", checkpoint_dtype(info));
  table.row("vocabulary", fmt::format("{} tokens", info.vocab_size));
  table.row("hidden size", std::to_string(info.hidden_size));
  table.row("intermediate size", std::to_string(info.intermediate_size));
  table.row("layers", std::to_string(info.num_hidden_layers));
  table.row("attention heads",
            fmt::format("{} with {} key-value heads, of size {}", info.num_attention_heads,
                        info.num_key_value_heads, info.head_dim));
  table.row("positions", std::to_string(info.max_position_embeddings));
  table.row("tokenizer", tokenizer);
}

void add_end_rows(const ModelInfo& info, const Tokenizer* tokenizer, TextTable& table) {
  table.heading("End tokens");
  if (info.eos_token_ids.empty()) table.row("none", "only stop strings and limits end a text");
  for (const auto& [id, sources] : info.eos_token_ids) {
    table.row(fmt::format("{} {}", id, quoted_name(token_text(tokenizer, id))), sources);
  }
}

void add_memory_rows(const ModelSummary& summary, TextTable& table) {
  const EngineOptions& options = summary.options;
  const MemoryPlan& plan = summary.memory_plan;
  table.heading(fmt::format("Memory on {} in {}, for {} sequences of {} tokens, {} tokens a step",
                            device_name(options), dtype_name(options), options.max_seqs,
                            options.max_seq_len, options.max_tokens_per_step));
  const auto bytes_row = [&](const char* name, std::uint64_t bytes, const std::string& note = "") {
    table.row(name, fmt::format("{:>12}{}", human_bytes(bytes), note));
  };
  bytes_row("weights", plan.weight_bytes);
  bytes_row("KV cache", plan.kv_cache_bytes,
            fmt::format("  in {} blocks of {} tokens: {}", plan.num_kv_blocks, plan.kv_block_tokens,
                        summary.kv_cache));
  bytes_row("activations", plan.activation_bytes);
  bytes_row("workspace", plan.workspace_bytes);
  bytes_row("step inputs", plan.step_input_bytes);
  if (plan.num_recordings > 0) {
    bytes_row("recordings", plan.recording_bytes,
              fmt::format("  about, for {} shapes of a decode batch", plan.num_recordings));
  }
  bytes_row("total", plan.total_bytes());
}

ExitCode run_inspect(const InspectOptions& options) {
  const ModelSummary summary = inspect(chosen_source(options.source), options.engine);
  std::unique_ptr<Tokenizer> tokenizer;
  if (!summary.info.random_weights && summary.tokenizer != "none") {
    tokenizer = Tokenizer::load(summary.info.folder);
  }
  if (options.output.json) {
    print_json(inspect_json(summary, tokenizer.get(), options.graph));
    return ExitCode::done;
  }
  TextTable table;
  add_model_rows(summary.info, summary.tokenizer, table);
  add_storage_rows(summary, table);
  add_end_rows(summary.info, tokenizer.get(), table);
  add_memory_rows(summary, table);
  if (options.graph) table.heading("Graph");
  write_stdout(table.text(wants_colour(kStdout)));
  if (options.graph) write_stdout(summary.graph);
  return ExitCode::done;
}

}  // namespace

Action add_inspect(CLI::App& app) {
  const auto options = std::make_shared<InspectOptions>();
  add_source_options(app, options->source);
  OptionGroup group(app, "Output");
  group.flag("--graph", options->graph, "Show the layer graph, one line a node");
  add_output_options(app, options->output);
  add_engine_options(app, options->engine);
  return [options] {
    apply_output_options(options->output);
    return run_inspect(*options);
  };
}

}  // namespace quern::tools
