#include "tools/load/http_call.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <limits>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

class PendingCall : public std::enable_shared_from_this<PendingCall> {
 public:
  PendingCall(asio::io_context& io, const std::vector<CallEndpoint>& endpoints, std::string request,
              CallHandlers handlers)
      : socket_(io),
        timer_(io),
        endpoints_(endpoints),
        request_(std::move(request)),
        handlers_(std::move(handlers)) {
    parser_.body_limit(std::numeric_limits<std::uint64_t>::max());
  }

  void start(std::chrono::milliseconds timeout) {
    if (timeout.count() > 0) {
      timer_.expires_after(timeout);
      timer_.async_wait([self = shared_from_this(), timeout](error_code error) {
        if (!error)
          self->end({"timeout", fmt::format("no whole answer in {} ms", timeout.count())});
      });
    }
    connect(0);
  }

 private:
  void connect(std::size_t index) {
    error_code ignored;
    socket_.close(ignored);
    socket_.async_connect(endpoints_[index], [self = shared_from_this(), index](error_code error) {
      if (self->ended_) return;
      if (!error) return self->send();
      if (index + 1 < self->endpoints_.size()) return self->connect(index + 1);
      self->end({"connect", error.message()});
    });
  }

  void send() {
    error_code ignored;  // of a Unix socket
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        // What fails may have been answered already: refused by a full queue, say.
                        self->write_error_ = error;
                      });
    http::async_read_header(
        socket_, buffer_, parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->on_header(error); });
  }

  void on_header(error_code error) {
    if (ended_) return;
    if (error) return end(failure_of(error));
    const auto& head = parser_.get();
    const auto type = head[http::field::content_type];
    handlers_.on_head(head.result_int(), std::string_view(type.data(), type.size()));
    // Not eager: an eager parser wants the next chunk before it gives the body of this one.
    read_more();
  }

  void read_more() {
    if (parser_.is_done()) return end({});
    http::async_read_some(
        socket_, buffer_, parser_,
        [self = shared_from_this()](error_code error, std::size_t) { self->on_body(error); });
  }

  void on_body(error_code error) {
    if (ended_) return;
    std::string& body = parser_.get().body();
    if (!body.empty()) handlers_.on_body(body);
    body.clear();
    if (error) return end(failure_of(error));
    read_more();
  }

  CallFailure failure_of(error_code error) const {
    const bool is_http =
        error.category() == http::make_error_code(http::error::bad_method).category();
    const bool cut_off =
        error == http::error::end_of_stream || error == http::error::partial_message;
    if (is_http && !cut_off) return {"bad_http", error.message()};
    if (write_error_ && cut_off) error = write_error_;
    return {"disconnected",
            cut_off && !write_error_ ? "the server closed the connection" : error.message()};
  }

  void end(const CallFailure& failure) {
    if (std::exchange(ended_, true)) return;
    timer_.cancel();
    error_code ignored;
    socket_.close(ignored);
    const CallHandlers handlers = std::move(handlers_);
    handlers.on_end(failure);
  }

  asio::generic::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  const std::vector<CallEndpoint>& endpoints_;
  std::string request_;
  CallHandlers handlers_;
  boost::beast::flat_buffer buffer_;
  http::response_parser<http::string_body> parser_;
  error_code write_error_;
  bool ended_ = false;
};

}  // namespace

std::vector<CallEndpoint> resolve_server(asio::io_context& io, const ServerUrl& url) {
  using Local = asio::local::stream_protocol;
  using Tcp = asio::ip::tcp;
  if (!url.socket_path.empty()) {
    if (url.socket_path.size() >= sizeof(sockaddr_un::sun_path)) {
      usage_error("--url: expected a path of at most {} bytes, got {}",
                  sizeof(sockaddr_un::sun_path) - 1, url.socket_path.size());
    }
    return {CallEndpoint(Local::endpoint(url.socket_path))};
  }
  Tcp::resolver resolver(io);
  error_code error;
  auto results = resolver.resolve(url.host, url.port, error);
  if (error && url.host == "localhost") {
    // It is the loopback address also where no file says so (RFC 6761).
    results = resolver.resolve("127.0.0.1", url.port, error);
  }
  if (error) {
    fail(ErrorCode::device, "--url: no address of host '{}': {}", url.host, error.message());
  }
  std::vector<CallEndpoint> endpoints;
  for (const auto& entry : results) endpoints.emplace_back(entry.endpoint());
  return endpoints;
}

void start_call(asio::io_context& io, const std::vector<CallEndpoint>& endpoints,
                std::string request, CallHandlers handlers, std::chrono::milliseconds timeout) {
  std::make_shared<PendingCall>(io, endpoints, std::move(request), std::move(handlers))
      ->start(timeout);
}

}  // namespace quern::tools
