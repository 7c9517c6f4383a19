#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/load/server_url.h"

// Sources that include this one compile Boost.Asio.

namespace quern::tools {

/// Why a request has no whole answer.
struct CallFailure {
  std::string kind;     ///< "connect", "timeout", "disconnected", "bad_http"
  std::string message;  ///< empty: there is no failure

  explicit operator bool() const { return !kind.empty(); }
};

/// What happens to a request, in this order; all but on_end may be left out by the events.
struct CallHandlers {
  std::function<void(int status, std::string_view content_type)> on_head;
  std::function<void(std::string_view bytes)> on_body;  ///< a piece of the body, framing removed
  std::function<void(const CallFailure& failure)> on_end;
};

using CallEndpoint = boost::asio::generic::stream_protocol::endpoint;

/// The addresses of a server, in the order in which they are tried. Waits for the name service.
/// Errors: device, where the host has no address; UsageError for a socket's path that is too long.
std::vector<CallEndpoint> resolve_server(boost::asio::io_context& io, const ServerUrl& url);

/// Sends a request over a connection of its own, and reads the answer as it comes; handlers are
/// called from io.run(). The call keeps itself alive to its end. `request` is a whole HTTP/1.1
/// request; with a `timeout` above 0 the call ends when it is over.
void start_call(boost::asio::io_context& io, const std::vector<CallEndpoint>& endpoints,
                std::string request, CallHandlers handlers, std::chrono::milliseconds timeout);

}  // namespace quern::tools
