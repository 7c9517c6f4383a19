#include <CLI/CLI.hpp>
#include <memory>

#include "tools/cli/fail.h"
#include "tools/quern/command.h"

#ifdef QUERN_HAS_SERVER

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "quern/service.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/json_output.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/server/access.h"
#include "tools/server/api_server.h"
#include "tools/server/http/descriptor_limit.h"

namespace quern::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct ServeOptions {
  SourceOptions source;
  EngineOptions engine;
  ServiceOptions service;
  ServerOptions server;
  std::vector<std::string> aliases;
  std::optional<std::string> api_key_file;
  int port = 8000;
  int max_queue = 1024;
  int shutdown_timeout_s = 30;
  OutputOptions output;
};

/// While one lives, SIGINT and SIGTERM wait to be asked for, in this thread and those it starts.
class SignalQueue {
 public:
  SignalQueue() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  ~SignalQueue() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next signal within the time, or 0.
  int wait(std::chrono::milliseconds time) const {
    constexpr long kNsPerMs = 1'000'000;
    timespec limit = {};
    limit.tv_sec = static_cast<time_t>(time.count() / 1000);
    limit.tv_nsec = static_cast<long>(time.count() % 1000) * kNsPerMs;
    const int signal = sigtimedwait(&signals_, nullptr, &limit);
    return signal > 0 ? signal : 0;
  }

 private:
  sigset_t signals_ = {};
  sigset_t before_ = {};
};

/// Lets requests finish, up to the time limit; a signal ends them at once. True if none came.
bool drain(Service& service, const SignalQueue& signals, std::chrono::milliseconds timeout) {
  std::atomic<bool> done = false;
  std::thread drainer([&] {
    service.drain(timeout);
    done = true;
  });
  bool quiet = true;
  while (!done) {
    constexpr std::chrono::milliseconds kLook{20};
    if (signals.wait(kLook) == 0) continue;
    quiet = false;
    service.abort();
  }
  drainer.join();
  return quiet;
}

void print_ready(const ServeOptions& options, const ApiServer& server, double seconds) {
  if (options.output.json) {
    print_json({{"url", server.url()}, {"ready_ms", rounded(seconds * 1000, 1)}});
  } else if (!options.output.quiet) {
    write_stderr(fmt::format("ready: {} in {:.1f} s\n", server.url(), seconds));
  }
}

ExitCode serve(ServeOptions options) {
  const auto started = Clock::now();
  const ModelSource source = chosen_source(options.source);
  const ModelInfo info = read_model_info(source);
  ServerOptions& server_options = options.server;
  const auto* model = std::get_if<std::string>(&source);
  server_options.model_names.push_back(model != nullptr ? served_model_name(*model) : info.name);
  for (std::string& alias : options.aliases) {
    server_options.model_names.push_back(std::move(alias));
  }
  if (options.api_key_file) server_options.api_keys = read_api_keys(*options.api_key_file);
  server_options.access_log = !options.output.quiet;

  raise_descriptor_limit();
  const SignalQueue signals;
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  options.engine.on_load = [stop, show = load_progress(options.output)](const LoadProgress& load) {
    if (*stop) throw InterruptedError();
    if (show) show(load);
  };
  Service service = Service::start(source, options.engine, options.service);
  ApiServer server(service, info, server_options);
  constexpr std::chrono::milliseconds kLook{5};
  int signal = 0;
  while (service.state() == ServiceState::loading && signal == 0) signal = signals.wait(kLook);
  if (signal != 0) {
    *stop = true;
    return ExitCode::interrupted;
  }
  service.wait_until_ready();
  print_ready(options, server, std::chrono::duration<double>(Clock::now() - started).count());

  constexpr std::chrono::milliseconds kLong{60'000};
  while (signals.wait(kLong) == 0) {
  }
  if (!options.output.quiet) {
    write_stderr(
        fmt::format("shutting down: requests have {} s to finish\n", options.shutdown_timeout_s));
  }
  const bool quiet = drain(service, signals, std::chrono::seconds(options.shutdown_timeout_s));
  constexpr std::chrono::milliseconds kLastBytes{2000};
  if (quiet) server.wait_until_idle(kLastBytes);
  return quiet ? ExitCode::done : ExitCode::interrupted;
}

/// The returned check throws a UsageError for options that contradict each other.
std::function<void()> add_address_options(CLI::App& app, ServeOptions& options) {
  OptionGroup group(app, "Address and access");
  HttpServerOptions& http = options.server.http;
  const CLI::Option* host = group.text(
      {"--host", "ADDRESS", "Listen there; 0.0.0.0 or :: for all networks (default: 127.0.0.1)"},
      http.host);
  constexpr int kMaxPort = 65535;
  const CLI::Option* port =
      group.integer({"--port", "N", "The port; 0 for one that is free (default: 8000)"},
                    options.port, 0, kMaxPort);
  const CLI::Option* uds =
      group.value({"--uds", "PATH", "Listen on a Unix socket, in place of host and port"},
                  [&http](const std::string& option, const std::string& value) {
                    if (value.empty()) usage_error("{}: expected a path, got ''", option);
                    http.uds = value;
                  });
  group.text(
      {"--api-key-file", "FILE", "Let only clients in that have one of its keys, one a line"},
      options.api_key_file);
  group.values(
      {"--cors", "ORIGIN", "Let web pages of ORIGIN read answers, * for all; may be repeated"},
      [&options](const std::string& option, const std::string& value) {
        if (value.empty()) usage_error("{}: expected an origin, got ''", option);
        options.server.cors_origins.push_back(value);
      });
  return [=] { reject_with(uds, {host, port}); };
}

}  // namespace

Action add_serve(CLI::App& app) {
  const auto options = std::make_shared<ServeOptions>();
  options->engine.max_seqs = 64;
  add_source_options(app, options->source);
  const auto check_address = add_address_options(app, *options);
  OptionGroup group(app, "Serving");
  group.values({"--alias", "NAME", "Another name for the model; may be repeated"},
               [options = options.get()](const std::string& option, const std::string& value) {
                 if (value.empty()) usage_error("{}: expected a name, got ''", option);
                 options->aliases.push_back(value);
               });
  group.integer(
      {"--max-queue", "N", "Requests that may wait; further ones are answered 429 (default: 1024)"},
      options->max_queue, 0);
  constexpr int kMaxSeconds = 1'000'000;
  group.value({"--request-timeout", "SECONDS",
               "End a request that takes longer, with what it has; 0: never (default: 0)"},
              [options = options.get()](const std::string& option, const std::string& value) {
                options->service.request_timeout =
                    std::chrono::seconds(parse_integer(option, value, 0, kMaxSeconds));
              });
  group.integer({"--shutdown-timeout", "SECONDS",
                 "After SIGTERM or Ctrl-C requests have so long to finish (default: 30)"},
                options->shutdown_timeout_s, 0, kMaxSeconds);
  group.value({"--read-timeout", "SECONDS",
               "A request has so long to arrive, from its first byte to its last (default: 30)"},
              [options = options.get()](const std::string& option, const std::string& value) {
                options->server.http.read_timeout =
                    std::chrono::seconds(parse_integer(option, value, 1, kMaxSeconds));
              });
  group.value({"--max-body-mib", "N", "Largest body of a request (default: 16)"},
              [options = options.get()](const std::string& option, const std::string& value) {
                constexpr int kMaxMib = 1024;
                options->server.http.limits.max_body_bytes =
                    static_cast<std::size_t>(parse_integer(option, value, 1, kMaxMib)) << 20;
              });
  group.value({"--max-connections", "N", "Further ones are closed (default: 4096)"},
              [options = options.get()](const std::string& option, const std::string& value) {
                options->server.http.max_connections =
                    static_cast<std::size_t>(parse_integer(option, value, 1));
              });
  group.value({"--metrics-compat", "vllm", "Give all metrics under vLLM's names, too"},
              [options = options.get()](const std::string& option, const std::string& value) {
                if (value != "vllm") usage_error("{}: expected vllm, got '{}'", option, value);
                options->server.vllm_metrics = true;
              });
  add_template_options(app, options->server.rendering, "Chat");
  add_engine_options(app, options->engine);
  add_kv_reservation_option(app, options->engine, "grow");
  add_loop_options(app, options->engine);
  add_output_options(app, options->output);
  return [=] {
    check_address();
    apply_output_options(options->output);
    options->server.http.port = static_cast<std::uint16_t>(options->port);
    options->service.max_queue = static_cast<std::size_t>(options->max_queue);
    return serve(*options);
  };
}

}  // namespace quern::tools

#else

namespace quern::tools {

Action add_serve(CLI::App& app) {
  app.allow_extras();
  return []() -> ExitCode {
    fail(ErrorCode::unsupported,
         "this build of quern cannot serve: it was made without Boost (libboost-dev brings it)");
  };
}

}  // namespace quern::tools

#endif
