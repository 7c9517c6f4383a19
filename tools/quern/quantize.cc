#include "quern/quantize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/output/json_output.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/progress.h"
#include "tools/quantize/calibration_file.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

constexpr int kWindowTokens = 512;
constexpr int kDefaultTokens = 32768;

struct QuantizeCommand {
  std::string model;
  std::string folder;
  std::optional<std::string> calibration_file;
  int calibration_tokens = kDefaultTokens;
  QuantizeOptions options;
  OutputOptions output;
};

QuantizeFormat parse_format(const std::string& option, const std::string& value) {
  constexpr std::array kFormats = {QuantizeFormat::int8, QuantizeFormat::int4, QuantizeFormat::fp8,
                                   QuantizeFormat::w8a8};
  for (const QuantizeFormat format : kFormats) {
    if (value == quantize_format_name(format)) return format;
  }
  usage_error("{} {}: expected int8, int4, fp8 or w8a8", option, value);
}

OrderedJson quantize_json(const QuantizeCommand& command, const QuantizedFolder& folder,
                          double seconds) {
  OrderedJson json = {{"model", command.model},
                      {"output", command.folder},
                      {"format", quantize_format_name(command.options.format)},
                      {"group_size", nullptr},
                      {"calibration", nullptr},
                      {"calibration_tokens", folder.num_calibration_tokens},
                      {"smooth", nullptr},
                      {"ignored_modules", folder.ignored_modules},
                      {"num_matrices", folder.num_matrices},
                      {"source_bytes", folder.source_bytes},
                      {"quantized_bytes", folder.quantized_bytes},
                      {"seconds", rounded(seconds, 3)}};
  if (folder.group_size != 0) json["group_size"] = folder.group_size;
  if (command.calibration_file) json["calibration"] = *command.calibration_file;
  if (command.options.smooth) json["smooth"] = shortest(*command.options.smooth);
  return json;
}

std::string quantize_text(const QuantizeCommand& command, const QuantizedFolder& folder) {
  constexpr double kMega = 1e6;
  const std::string scales = folder.group_size == 0
                                 ? "a scale for each row"
                                 : fmt::format("a scale for {} inputs", folder.group_size);
  const std::string calibration =
      folder.num_calibration_tokens == 0
          ? "rounded to nearest"
          : fmt::format("calibrated on {} tokens", folder.num_calibration_tokens);
  const std::size_t num_ignored = folder.ignored_modules.size();
  const std::string ignored = num_ignored == 0 ? std::string()
                                               : fmt::format(", {} module{} ignored", num_ignored,
                                                             num_ignored == 1 ? "" : "s");
  return fmt::format("{}: {}, {}, {}{}; {:.1f} MB of {:.1f} MB\n", command.folder,
                     quantize_format_name(command.options.format), scales, calibration, ignored,
                     static_cast<double>(folder.quantized_bytes) / kMega,
                     static_cast<double>(folder.source_bytes) / kMega);
}

ExitCode quantize_model(QuantizeCommand& command) {
  const auto start = std::chrono::steady_clock::now();
  command.model = chosen_model(command.model);
  if (command.calibration_file) {
    command.options.calibration = read_calibration(
        {*command.calibration_file, command.model,
         static_cast<std::size_t>(command.calibration_tokens),
         static_cast<std::size_t>(std::min(kWindowTokens, context_of({}, command.model)))});
  }
  QuantizedFolder folder;
  {
    std::optional<ProgressBar> bar;
    command.options.on_progress = [&](const QuantizeProgress& progress) {
      if (!bar) {
        bar.emplace(progress.total_matrices, shows_progress(command.output), "matrices");
      }
      bar->set(progress.done_matrices, progress.total_matrices);
    };
    folder = quantize(command.model, command.folder, command.options);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (command.output.json) {
    print_json(quantize_json(command, folder, seconds.count()));
  } else {
    write_stdout(quantize_text(command, folder));
  }
  return ExitCode::done;
}

}  // namespace

Action add_quantize(CLI::App& app) {
  const auto command = std::make_shared<QuantizeCommand>();
  add_model_option(app, command->model);
  OptionGroup group(app, "Quantization");
  const CLI::Option* folder =
      group.text({"-o,--output", "FOLDER", "The folder to write: new or empty"}, command->folder);
  const CLI::Option* format = group.value(
      {"--format", "FORMAT",
       "int8, int4: integers with scales of groups of inputs; fp8, w8a8: E4M3 or 8-bit integers "
       "with a scale for each row, for inputs that are rounded, too"},
      [command](const std::string& option, const std::string& value) {
        command->options.format = parse_format(option, value);
      });
  const CLI::Option* group_size = group.integer(
      {"--group-size", "N",
       "Inputs that share a scale, of int8 and int4; 0: all of a row (default: 128, 64 or 32, the "
       "largest that divides the inputs of every matrix)"},
      command->options.group_size, 0);
  const CLI::Option* calibration = group.text(
      {"--calibration", "FILE",
       "Texts like those that the model is for: a text, or prompts as JSON lines where the name "
       "ends with .jsonl. Without it numbers are rounded to nearest"},
      command->calibration_file);
  const CLI::Option* tokens = group.integer(
      {"--calibration-tokens", "N",
       fmt::format("Tokens of it to use, from all of the file (default: {})", kDefaultTokens)},
      command->calibration_tokens, static_cast<int>(kMinCalibrationTokens));
  const CLI::Option* smooth = group.number(
      {"--smooth", "A",
       "SmoothQuant of w8a8: how much of the inputs' range moves into the weights, in (0, 1); 0.5 "
       "suits most models"},
      command->options.smooth, {0, 0.99999994, false, "a number in (0, 1)"});
  group.values({"--ignore", "MODULE",
                "A module to leave in floats, its last components (mlp.down_proj), or re: and a "
                "regular expression; can be repeated"},
               [command](const std::string&, const std::string& value) {
                 command->options.ignore.push_back(value);
               });
  group.integer({"--threads", "N", "CPU threads (default: all that the process may use)"},
                command->options.threads, 1, kMaxThreads);
  add_output_options(app, command->output);
  return [=] {
    if (folder->count() == 0) usage_error("--output FOLDER is missing: the folder to write");
    if (format->count() == 0) usage_error("--format is missing: int8, int4, fp8 or w8a8");
    const QuantizeFormat chosen = command->options.format;
    const bool has_groups = chosen == QuantizeFormat::int8 || chosen == QuantizeFormat::int4;
    if (group_size->count() != 0 && !has_groups) {
      usage_error(
          "--group-size and --format {} contradict each other: that has a scale for each row",
          quantize_format_name(chosen));
    }
    if (smooth->count() != 0 && chosen != QuantizeFormat::w8a8) {
      usage_error("--smooth and --format {} contradict each other: expected w8a8",
                  quantize_format_name(chosen));
    }
    for (const CLI::Option* option : {smooth, tokens}) {
      if (option->count() != 0 && calibration->count() == 0) {
        usage_error("{} needs --calibration FILE", option->get_name());
      }
    }
    apply_output_options(command->output);
    return quantize_model(*command);
  };
}

}  // namespace quern::tools
