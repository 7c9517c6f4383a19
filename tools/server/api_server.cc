#include "tools/server/api_server.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <thread>
#include <utility>

#include "quern/text.h"
#include "tools/server/access.h"
#include "tools/server/access_log.h"
#include "tools/server/endpoints/endpoints.h"
#include "tools/server/http/http_server.h"
#include "tools/server/openai/api_error.h"
#include "tools/server/workers.h"

namespace quern::tools {
namespace {

/// Requests that wait for a worker thread.
constexpr std::size_t kMaxWaitingWork = 1024;

struct Route {
  std::string_view path;    ///< with a / at its end: all paths that begin so
  std::string_view method;  ///< HEAD goes with GET
  bool needs_key;
  bool is_work;  ///< for a worker thread, and needs a ready engine
  void (*endpoint)(const ApiContext&, const Call&);
};

constexpr std::array<Route, 14> kRoutes = {{
    {"/v1/chat/completions", "POST", true, true, complete_chat},
    {"/chat/completions", "POST", true, true, complete_chat},  // of clients whose URL lacks /v1
    {"/v1/completions", "POST", true, true, complete_text},
    {"/completions", "POST", true, true, complete_text},
    {"/tokenize", "POST", true, true, tokenize},
    {"/detokenize", "POST", true, true, detokenize},
    {"/apply-template", "POST", true, true, apply_template},
    {"/v1/models", "GET", true, false, list_models},
    {"/models", "GET", true, false, list_models},
    {"/v1/models/", "GET", true, false, describe_model},
    {"/health", "GET", false, false, tell_health},
    {"/metrics", "GET", false, false, tell_metrics},
    {"/version", "GET", false, false, tell_version},
    {"/openapi.json", "GET", false, false, tell_openapi},
}};

const Route* find_route(std::string_view path) {
  for (const Route& route : kRoutes) {
    const bool is_prefix = route.path.back() == '/';
    if (path == route.path ||
        (is_prefix && path.size() > route.path.size() && path.starts_with(route.path))) {
      return &route;
    }
  }
  return nullptr;
}

std::string allowed_methods(const Route& route) {
  return route.method == "GET" ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
}

/// Runs an endpoint; whatever it throws becomes an answer.
template <typename Run>
void answer_errors(const Call& call, const Run& run) noexcept {
  try {
    try {
      run();
    } catch (const ApiError& error) {
      call.answer(error.response());
    } catch (const Error& error) {
      if (api_error(error).status() >= 500) log_failure(call.exchange->id(), error.what());
      call.answer(api_error(error).response());
    } catch (const std::bad_alloc&) {
      call.answer(ApiError(503, "out of memory", "", "out_of_memory").response());
    } catch (const std::exception& error) {
      log_failure(call.exchange->id(), error.what());
      call.answer(api_error(Error(ErrorCode::internal, "")).response());
    }
  } catch (...) {
    call.exchange->respond({.status = 500, .headers = {}, .body = "", .close = true});
  }
}

int num_workers(const ServerOptions& options) {
  constexpr int kFewest = 2;
  constexpr int kMost = 8;
  if (options.num_workers > 0) return options.num_workers;
  return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) / 2, kFewest, kMost);
}

}  // namespace

struct ApiServer::Impl {
  Impl(Service& service, const ModelInfo& model, const ServerOptions& options)
      : context(service, model, options),
        access(options.api_keys, options.cors_origins),
        workers(num_workers(options), kMaxWaitingWork),
        http(options.http, callbacks(options)) {}

  HttpServer::Callbacks callbacks(const ServerOptions& options) {
    HttpServer::Callbacks callbacks;
    callbacks.on_request = [this](std::shared_ptr<Exchange> exchange) {
      handle(std::move(exchange));
    };
    callbacks.on_bad_request = [](int status, const std::string& message) {
      return ApiError(status, message).response();
    };
    if (options.access_log) callbacks.on_answered = log_access;
    return callbacks;
  }

  void handle(std::shared_ptr<Exchange> exchange) {
    Call call{std::move(exchange), {}};
    call.headers.add("X-Request-Id", call.exchange->id());
    access.add_cors(call.request(), call.headers);
    answer_errors(call, [&] { dispatch(call); });
  }

  void dispatch(const Call& call) {
    const HttpRequest& request = call.request();
    const Route* route = find_route(request.path());
    if (route == nullptr) {
      throw ApiError(404, fmt::format("nothing at {}", quoted_name(request.path())), "",
                     "not_found");
    }
    if (request.method == "OPTIONS") {
      return call.answer(access.preflight(request, allowed_methods(*route)));
    }
    const bool fits =
        request.method == route->method || (request.method == "HEAD" && route->method == "GET");
    if (!fits) {
      HttpResponse response = ApiError(405,
                                       fmt::format("{} takes {}, not {}", request.path(),
                                                   route->method, quoted_name(request.method)),
                                       "", "method_not_allowed")
                                  .response();
      response.headers.add("Allow", allowed_methods(*route));
      return call.answer(std::move(response));
    }
    if (route->needs_key && !access.admits(request)) {
      throw ApiError(401, "expected an API key: Authorization: Bearer KEY, or X-Api-Key: KEY", "",
                     "invalid_api_key");
    }
    if (!route->is_work) return route->endpoint(context, call);
    context.require_ready();
    const bool taken = workers.submit([this, call, route] {
      if (call.exchange->abandoned()) return;
      answer_errors(call, [&] { route->endpoint(context, call); });
    });
    if (!taken) throw ApiError(429, "too many requests wait", "", "queue_full");
  }

  ApiContext context;
  AccessRules access;
  Workers workers;
  HttpServer http;  ///< the last: ended first, so that nobody calls the others any more
};

ApiServer::ApiServer(Service& service, const ModelInfo& model, const ServerOptions& options)
    : impl_(std::make_unique<Impl>(service, model, options)) {}
ApiServer::~ApiServer() = default;

const std::string& ApiServer::url() const { return impl_->http.url(); }
std::uint16_t ApiServer::port() const { return impl_->http.port(); }
void ApiServer::wait_until_idle(std::chrono::milliseconds timeout) {
  impl_->http.wait_until_idle(timeout);
}

std::string served_model_name(const std::string& model) {
  std::error_code ignored;
  if (!std::filesystem::exists(model, ignored)) return model;
  const std::filesystem::path path = std::filesystem::weakly_canonical(model, ignored);
  return path.filename().empty() ? model : path.filename().string();
}

}  // namespace quern::tools
