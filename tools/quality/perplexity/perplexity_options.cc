#include "tools/quality/perplexity/perplexity_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "quern/text.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/json_output.h"
#include "tools/quality/engine_spec.h"

namespace quern::tools {
namespace {

constexpr int kMaxDefaultWindow = 2048;
constexpr int kDefaultStride = 512;

std::vector<const CLI::Option*> add_reference_options(CLI::App& app, PerplexityOptions& options) {
  OptionGroup group(app, "Reference");
  group.text({"--against", "REFERENCE",
              "Compare with this device and dtype, such as cpu-float32, or with saved logits"},
             options.against);
  group.text({"--against-model", "MODEL",
              "Compare with another model of the same vocabulary, say before quantisation"},
             options.against_model);
  group.text({"--save-logits", "FILE", "Keep all logits as safetensors, to compare with later"},
             options.save_logits);
  constexpr NumberRange kBound{-kAnyNumber, kAnyNumber, true, "a finite number"};
  constexpr NumberRange kPercent{0, 100, true, "percent, from 0 to 100"};
  return {group.number({"--max-perplexity-increase", "PERCENT",
                        "Exit with 3 if the perplexity is larger than the reference's by more"},
                       options.max_perplexity_increase, kBound),
          group.number({"--max-kl", "NATS", "Exit with 3 if the mean KL divergence is larger"},
                       options.max_kl, kBound),
          group.number({"--min-top1-agreement", "PERCENT",
                        "Exit with 3 if the same top token is found at fewer of the positions"},
                       options.min_top1_agreement, kPercent)};
}

void check_options(const PerplexityOptions& options,
                   const std::vector<const CLI::Option*>& checks) {
  if (options.file.empty()) usage_error("perplexity needs --file FILE");
  for (const CLI::Option* check : checks) {
    if (check->count() != 0 && !options.has_reference()) {
      usage_error("{} needs a reference: --against or --against-model", check->get_name());
    }
  }
  if (!options.against || parse_engine_spec(*options.against, options.engine)) return;
  if (options.against_model) {
    usage_error("--against-model and saved logits, --against {}, contradict each other",
                quoted_name(*options.against));
  }
  if (!std::filesystem::exists(*options.against)) {
    usage_error("--against: expected a device and dtype such as cpu-float32, or a file, got {}",
                quoted_name(*options.against));
  }
}

}  // namespace

void add_text_options(CLI::App& app, PerplexityOptions& options, const std::string& default_text) {
  OptionGroup group(app, "Text");
  group.text({"-f,--file", "FILE", "The text, in UTF-8" + default_text}, options.file);
  group.integer({"--window", "N", "Tokens seen at once (default: the context, at most 2048)"},
                options.window, 2);
  group.integer({"--stride", "N", "Tokens from window to window (default: 512, or the window)"},
                options.stride, 1);
  group.integer({"--max-tokens", "N", "Take the first N tokens of the text alone"},
                options.max_tokens, 2);
}

std::function<void()> add_perplexity_options(CLI::App& app, PerplexityOptions& options) {
  options.engine.max_seqs = 1;
  add_model_option(app, options.model);
  add_text_options(app, options, "");
  const auto checks = add_reference_options(app, options);
  add_output_options(app, options.output);
  add_engine_options(app, options.engine);
  return [=, &options] { check_options(options, checks); };
}

WindowSettings window_settings(const PerplexityOptions& options, int context) {
  const int window = options.window.value_or(std::min(context, kMaxDefaultWindow));
  if (window > context)
    usage_error("--window {}: expected at most the context, {}", window, context);
  const int stride = options.stride.value_or(std::min(kDefaultStride, window));
  if (stride > window) usage_error("--stride {}: expected at most the window, {}", stride, window);
  return {static_cast<std::size_t>(window), static_cast<std::size_t>(stride)};
}

std::vector<Check> perplexity_checks(const PerplexityOptions& options, const Judgement& judgement) {
  std::vector<Check> checks;
  if (options.max_perplexity_increase) {
    checks.push_back({"max-perplexity-increase", judgement.perplexity_increase(),
                      shortest(*options.max_perplexity_increase)});
  }
  if (options.max_kl) checks.push_back({"max-kl", judgement.mean_kl(), shortest(*options.max_kl)});
  if (options.min_top1_agreement) {
    checks.push_back({"min-top1-agreement", 100 * judgement.top1_agreement(),
                      shortest(*options.min_top1_agreement), true});
  }
  if (judgement.num_nonfinite > 0) {
    checks.push_back({"nonfinite-logits", static_cast<double>(judgement.num_nonfinite), 0});
  }
  return checks;
}

}  // namespace quern::tools
