#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tools/server/http/exchange.h"
#include "tools/server/http/request_reader.h"

namespace quern::tools {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;  ///< 0: one that is free
  std::string uds;         ///< path of a Unix socket, in place of host and port
  HttpLimits limits;
  std::size_t max_connections = 4096;
  int num_threads = 2;
  /// From the first byte of a request to its last one.
  std::chrono::milliseconds read_timeout{30'000};
  /// Of a connection without a request.
  std::chrono::milliseconds idle_timeout{120'000};
  /// Of a client that takes nothing of its answer.
  std::chrono::milliseconds write_timeout{60'000};
};

/// What the access log wants to know of an answered request.
struct HttpRecord {
  std::string client;  ///< address, or "unix"
  std::string method;
  std::string target;
  std::string id;
  int status = 0;  ///< 0: the client left before there was one
  std::size_t body_bytes = 0;
  double total_ms = 0;
};

/// HTTP/1.1 over TCP or a Unix socket: keep-alive, pipelining, chunked bodies, many connections on
/// few threads.
class HttpServer {
 public:
  struct Callbacks {
    /// A request is there. Called on the threads of connections: must not block.
    std::function<void(std::shared_ptr<Exchange>)> on_request;
    /// A response to a request that never became one (400, 408, 413, 431).
    std::function<HttpResponse(int status, const std::string& message)> on_bad_request;
    std::function<void(const HttpRecord&)> on_answered;  ///< may be empty
  };

  /// Listens and serves. Errors: UsageError for an address that is none; device where it cannot be
  /// listened on (taken, not permitted, of another machine), naming it.
  HttpServer(const HttpServerOptions& options, Callbacks callbacks);
  /// Closes all connections and waits for the threads.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "http://127.0.0.1:8000", or "unix:/path".
  const std::string& url() const;
  std::uint16_t port() const;  ///< 0 for a Unix socket
  std::size_t num_connections() const;

  /// Waits until no request is being answered, or the time is over.
  void wait_until_idle(std::chrono::milliseconds timeout);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern::tools
