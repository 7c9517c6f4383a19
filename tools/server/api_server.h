#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "quern/service.h"
#include "tools/server/server_options.h"

namespace quern::tools {

/// An engine behind OpenAI's HTTP API. Serves from its construction on: while the engine loads,
/// /health and whatever needs it are 503.
class ApiServer {
 public:
  /// `service` must outlive it. Errors: those of HttpServer, and of a chat template that
  /// options.rendering names.
  ApiServer(Service& service, const ModelInfo& model, const ServerOptions& options);
  /// Ends all connections. What they waited for is cancelled.
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  const std::string& url() const;
  std::uint16_t port() const;
  /// Waits until no request is being answered, or the time is over.
  void wait_until_idle(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What clients call a model: the name by which it was asked for, or the last part of a path.
std::string served_model_name(const std::string& model);

}  // namespace quern::tools
