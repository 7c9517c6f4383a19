#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/safetensors.h"
#include "tools/cli/fail.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/generation/likelihood.h"
#include "tools/generation/prompts.h"
#include "tools/output/console.h"
#include "tools/output/json_output.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/write_file.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct LogitsOptions {
  SourceOptions source;
  EngineOptions engine;
  PromptOptions prompts;
  std::optional<std::string> output_file;
  bool no_bos = false;
  bool no_parse_special = false;
  OutputOptions output;
};

std::vector<std::int32_t> prompt_ids(const Engine& engine, const LogitsOptions& options,
                                     const Prompt& prompt) {
  if (!prompt.ids.empty()) return prompt.ids;
  EncodeOptions encode_options;
  encode_options.parse_special = !options.no_parse_special;
  if (options.no_bos) encode_options.add_bos = false;
  return engine.tokenizer().encode(prompt.text, encode_options);
}

OrderedJson logits_json(const Engine& engine, const std::optional<std::string>& written_file,
                        const std::vector<std::int32_t>& ids,
                        const std::optional<double>& mean_nll) {
  OrderedJson json = subject_json(engine.info(), engine.options());
  json.update({{"prompt_ids", ids},
               {"shape", {ids.size(), engine.info().vocab_size}},
               {"output", nullptr},
               {"mean_nll", nullptr},
               {"perplexity", nullptr}});
  if (written_file) json["output"] = *written_file;
  if (mean_nll) {
    json["mean_nll"] = *mean_nll;
    json["perplexity"] = std::exp(*mean_nll);
  }
  return json;
}

std::string logits_text(const Engine& engine, const std::optional<std::string>& written_file,
                        std::size_t num_tokens, const std::optional<double>& mean_nll) {
  std::string text = fmt::format("logits [{}, {}] float32", num_tokens, engine.info().vocab_size);
  if (written_file) text += fmt::format(" written to {}", *written_file);
  text += '\n';
  if (mean_nll) {
    text += fmt::format("mean negative log-likelihood {:.6f} over {} tokens, perplexity {:.4f}\n",
                        *mean_nll, num_tokens - 1, std::exp(*mean_nll));
  }
  return text;
}

/// Rows with NaN or +inf: what a model makes of a token whose values overflow.
std::size_t count_nonfinite(const std::vector<float>& values, std::size_t num_rows) {
  const std::size_t cols = values.size() / num_rows;
  std::size_t count = 0;
  for (std::size_t row = 0; row < num_rows; ++row) {
    count += has_nonfinite(std::span(values).subspan(row * cols, cols)) ? 1 : 0;
  }
  return count;
}

ExitCode logits(const LogitsOptions& options) {
  const ModelSource model = chosen_source(options.source);
  const std::vector<Prompt> prompts = read_prompts(options.prompts);
  reject_empty(prompts);
  if (is_random(model)) reject_texts(prompts);
  if (prompts.size() != 1) {
    fail(ErrorCode::invalid_argument, "logits: expected one prompt, got {}", prompts.size());
  }
  if (options.output_file) OutputFile::check(*options.output_file);
  EngineOptions engine_options = options.engine;
  engine_options.on_load = load_progress(options.output);
  Engine engine = Engine::load(model, engine_options);
  const std::vector<std::int32_t> ids = prompt_ids(engine, options, prompts.front());
  const std::vector<float> values = engine.logits(ids);
  const auto write = [&] {
    if (!options.output_file) return;
    const auto rows = static_cast<std::int64_t>(ids.size());
    const std::vector<SafetensorsTensor> tensors = {
        {"logits", {rows, engine.info().vocab_size}, values}};
    write_safetensors(*options.output_file, tensors);
  };
  write_then_print(write, [&](bool written) {
    const auto file = written ? options.output_file : std::nullopt;
    const std::optional<double> mean_nll = mean_negative_log_likelihood(values, ids);
    if (options.output.json) {
      print_json(logits_json(engine, file, ids, mean_nll));
    } else {
      write_stdout(logits_text(engine, file, ids.size(), mean_nll));
    }
  });
  const std::size_t num_nonfinite = count_nonfinite(values, ids.size());
  if (num_nonfinite == 0) return ExitCode::done;
  print_error(fmt::format("non-finite logits at {} of {} positions ({}); {}", num_nonfinite,
                          ids.size(), dtype_name(engine.options().dtype.value()), kNonfiniteHint));
  return ExitCode::failed;
}

}  // namespace

Action add_logits(CLI::App& app) {
  const auto options = std::make_shared<LogitsOptions>();
  options->engine.max_seqs = 1;
  add_source_options(app, options->source);
  const PromptSources sources = add_prompt_options(app, options->prompts);
  add_encode_options(app, options->no_bos, options->no_parse_special);
  OptionGroup group(app, "Output");
  group.value(
      {"-o,--output", "FILE", "Write the tensor `logits` [tokens, vocabulary] as safetensors"},
      [options](const std::string& option, const std::string& value) {
        if (value.empty()) usage_error("{}: expected a file, got ''", option);
        options->output_file = value;
      });
  add_output_options(app, options->output);
  add_engine_options(app, options->engine);
  return [=] {
    reject_together(sources.all());
    apply_output_options(options->output);
    return logits(*options);
  };
}

}  // namespace quern::tools
