#include "tools/quern/bench_serve.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/fail.h"

#ifdef QUERN_HAS_SERVER

#include <optional>
#include <string>
#include <vector>

#include "quern/limits.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/load/load.h"
#include "tools/load/load_report.h"
#include "tools/load/load_requests.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/progress.h"
#include "tools/server/access.h"

namespace quern::tools {
namespace {

struct BenchServeOptions {
  std::string url;
  std::optional<std::string> api_key_file;
  std::string label;
  LoadSettings load;
  LoadRequestOptions requests;
  Objectives objectives;
  std::optional<float> rate;
  std::optional<int> concurrency;
  std::optional<std::string> prompts_file;
  int num_requests = 100;
  int timeout_s = 0;
  OutputOptions output;
};

std::vector<LoadRequest> make_requests(const BenchServeOptions& options) {
  const auto count = static_cast<std::size_t>(options.num_requests) +
                     static_cast<std::size_t>(options.load.warm_up);
  if (!options.prompts_file) return random_load(options.requests, count);
  return recorded_load(options.requests, count, read_utf8_file(*options.prompts_file),
                       input_name(*options.prompts_file));
}

ExitCode bench_serve(BenchServeOptions options) {
  if (options.url.empty()) usage_error("--url is missing: http://HOST:PORT or unix:PATH");
  if (!options.rate && !options.concurrency) {
    usage_error("one of --rate and --concurrency is missing");
  }
  LoadSettings& load = options.load;
  load.url = parse_server_url("--url", options.url);
  load.rate = options.rate.value_or(0.0F);
  load.concurrency = options.concurrency.value_or(0);
  load.timeout = std::chrono::seconds(options.timeout_s);
  load.seed = options.requests.seed;
  if (options.api_key_file) load.api_key = read_api_keys(*options.api_key_file).front();
  const std::vector<LoadRequest> requests = make_requests(options);

  const InterruptScope interrupt;
  const OutputOptions& output = options.output;
  ProgressBar progress(static_cast<std::size_t>(options.num_requests), shows_progress(output),
                       "requests");
  const LoadWatch watch = {[&] { return interrupt.requested(); },
                           [&](std::size_t num_ended) {
                             progress.set(num_ended,
                                          static_cast<std::size_t>(options.num_requests));
                           }};
  const LoadResult result = run_load(load, requests, watch);
  progress.clear();
  if (output.json) {
    const std::string label = options.label.empty() ? load.url.authority() : options.label;
    print_json(load_document_json(label, load, options.objectives, result));
  } else {
    write_stdout(load_table(load, options.objectives, result));
  }
  if (interrupt.requested()) return ExitCode::interrupted;
  if (const std::string failures = load_failures(result); !failures.empty()) {
    print_error(failures);
    return ExitCode::failed;
  }
  return ExitCode::done;
}

void add_server_options(CLI::App& app, BenchServeOptions& options) {
  OptionGroup group(app, "Server");
  group.text({"--url", "URL", "http://HOST:PORT or unix:PATH, with or without /v1"}, options.url);
  group.text({"--model", "NAME", "The model by the server's name (default: the field is left out)"},
             options.requests.model);
  group.text({"--api-key-file", "FILE", "Send the first of its keys"}, options.api_key_file);
  group.text({"--label", "TEXT", "The server's name in JSON and plots (default: host and port)"},
             options.label);
}

/// Options that contradict each other.
struct LoadFlags {
  const CLI::Option* rate = nullptr;
  const CLI::Option* concurrency = nullptr;
  const CLI::Option* prompts_file = nullptr;
  const CLI::Option* input_len = nullptr;
  const CLI::Option* vocab_size = nullptr;
};

LoadFlags add_load_options(CLI::App& app, BenchServeOptions& options) {
  OptionGroup group(app, "Load");
  LoadFlags flags;
  flags.rate =
      group.number({"--rate", "N", "Requests a second, on average; they come independently"},
                   options.rate, {0, 1e6, false, "a number above 0, up to 1000000"});
  constexpr int kMaxConcurrency = 65536;
  flags.concurrency =
      group.integer({"--concurrency", "N", "In place of --rate: so many requests at a time"},
                    options.concurrency, 1, kMaxConcurrency);
  constexpr int kMaxRequests = 10'000'000;
  group.integer({"--requests", "N", "So many requests (default: 100)"}, options.num_requests, 1,
                kMaxRequests);
  group.integer({"--warm-up", "N", "Requests before those that count, at once (default: 1)"},
                options.load.warm_up, 0, kMaxConcurrency);
  constexpr int kMaxSeconds = 1'000'000;
  group.integer({"--timeout", "SECONDS", "Give a request up after that; 0: never (default: 0)"},
                options.timeout_s, 0, kMaxSeconds);
  group.value({"--seed", "N", "Of arrivals, lengths and random ids (default: 0)"},
              [&options](const std::string& option, const std::string& value) {
                options.requests.seed = parse_unsigned(option, value);
              });
  return flags;
}

void add_request_options(CLI::App& app, BenchServeOptions& options, LoadFlags& flags) {
  OptionGroup group(app, "Requests");
  LoadRequestOptions& requests = options.requests;
  flags.input_len =
      group.value({"--input-len", "N|LOW-HIGH", "Tokens of a prompt of random ids (default: 128)"},
                  [&requests](const std::string& option, const std::string& value) {
                    requests.input = parse_length_range(option, value);
                  });
  group.value({"--output-len", "N|LOW-HIGH",
               "New tokens, where a prompt record does not say (default: 128)"},
              [&requests](const std::string& option, const std::string& value) {
                requests.output = parse_length_range(option, value);
              });
  flags.vocab_size = group.integer({"--vocab-size", "N", "Random ids are below N (default: 1000)"},
                                   requests.vocab_size, 1);
  flags.prompts_file =
      group.text({"--prompts-file", "FILE", "Send these prompt records (JSON lines) in turn"},
                 options.prompts_file);
  group.flag("--stop-at-eos", requests.stops_at_eos,
             "Let answers end where the model ends them; by default ignore_eos is sent");
}

void add_objective_options(CLI::App& app, Objectives& objectives) {
  OptionGroup group(app, "Objectives, for goodput");
  constexpr NumberRange kMilliseconds{0, 1e9, false, "a number above 0"};
  group.number({"--slo-first-token", "MS", "Longest time to the first token"},
               objectives.first_token_ms, kMilliseconds);
  group.number({"--slo-per-token", "MS", "Longest mean time of a token after the first"},
               objectives.time_per_output_token_ms, kMilliseconds);
  group.number({"--slo-latency", "MS", "Longest time to the last token"}, objectives.latency_ms,
               kMilliseconds);
}

}  // namespace

Action add_bench_serve(CLI::App& app) {
  const auto options = std::make_shared<BenchServeOptions>();
  add_server_options(app, *options);
  LoadFlags flags = add_load_options(app, *options);
  add_request_options(app, *options, flags);
  add_objective_options(app, options->objectives);
  add_output_options(app, options->output);
  return [=] {
    reject_together({flags.rate, flags.concurrency});
    reject_with(flags.prompts_file, {flags.input_len, flags.vocab_size});
    apply_output_options(options->output);
    return bench_serve(*options);
  };
}

}  // namespace quern::tools

#else

namespace quern::tools {

Action add_bench_serve(CLI::App& app) {
  app.allow_extras();
  return []() -> ExitCode {
    fail(ErrorCode::unsupported,
         "this build of quern cannot load servers: it was made without Boost (libboost-dev brings "
         "it)");
  };
}

}  // namespace quern::tools

#endif
