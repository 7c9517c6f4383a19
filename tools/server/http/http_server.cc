#include "tools/server/http/http_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <thread>
#include <utility>

#include "quern/text.h"
#include "tools/cli/fail.h"
#include "tools/cli/usage_error.h"
#include "tools/server/http/connection.h"

namespace quern::tools {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;
using boost::system::error_code;

/// After an accept that failed for lack of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptPause{100};

std::string name_of(const Tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

Tcp::endpoint endpoint_of(const HttpServerOptions& options) {
  error_code error;
  const std::string host = options.host == "localhost" ? "127.0.0.1" : options.host;
  const auto address = asio::ip::make_address(host, error);
  if (error) {
    usage_error("--host: expected an address such as 127.0.0.1, got {}", quoted_name(options.host));
  }
  return {address, options.port};
}

/// Removes a socket on which nobody listens any more.
void remove_stale_socket(asio::io_context& io, const std::string& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  Local::socket probe(io);
  error_code error;
  probe.connect(Local::endpoint(path), error);
  if (error == asio::error::connection_refused) ::unlink(path.c_str());
}

template <typename Acceptor, typename Endpoint>
void listen_on(Acceptor& acceptor, const Endpoint& endpoint, const std::string& name) {
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error && endpoint.protocol().family() != AF_UNIX) {
    acceptor.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail(ErrorCode::device, "cannot listen on {}: {}", name, error.message());
}

}  // namespace

struct HttpServer::Impl {
  Impl(const HttpServerOptions& options, Callbacks callbacks)
      : core(std::make_shared<HttpCore>()),
        tcp(core->io),
        local(core->io),
        pause(core->io),
        work(asio::make_work_guard(core->io)) {
    core->options = options;
    core->callbacks = std::move(callbacks);
    if (options.uds.empty()) {
      const Tcp::endpoint endpoint = endpoint_of(options);
      listen_on(tcp, endpoint, name_of(endpoint));
      port = tcp.local_endpoint().port();
      url = "http://" + name_of(tcp.local_endpoint());
      accept(tcp);
    } else {
      if (options.uds.size() >= sizeof(sockaddr_un::sun_path)) {
        usage_error("--uds: expected a path of at most {} bytes, got {}",
                    sizeof(sockaddr_un::sun_path) - 1, options.uds.size());
      }
      remove_stale_socket(core->io, options.uds);
      listen_on(local, Local::endpoint(options.uds), options.uds);
      url = "unix:" + options.uds;
      accept(local);
    }
    for (int i = 0; i < options.num_threads; ++i) {
      threads.emplace_back([this] { core->io.run(); });
    }
  }

  ~Impl() {
    core->io.stop();
    for (std::thread& thread : threads) thread.join();
    if (!core->options.uds.empty()) ::unlink(core->options.uds.c_str());
  }

  template <typename Acceptor>
  void accept(Acceptor& acceptor) {
    using Socket = typename Acceptor::protocol_type::socket;
    acceptor.async_accept(asio::make_strand(core->io),
                          [this, &acceptor](error_code error, Socket socket) {
                            if (error == asio::error::operation_aborted) return;
                            if (!error) {
                              welcome(std::move(socket));
                              return accept(acceptor);
                            }
                            pause.expires_after(kAcceptPause);
                            pause.async_wait([this, &acceptor](error_code) { accept(acceptor); });
                          });
  }

  template <typename Socket>
  void welcome(Socket socket) {
    error_code error;
    std::string client = "unix";
    if constexpr (std::is_same_v<Socket, Tcp::socket>) {
      socket.set_option(Tcp::no_delay(true), error);
      const auto endpoint = socket.remote_endpoint(error);
      if (error) return;  // gone already
      client = name_of(endpoint);
    }
    std::shared_ptr<Connection> connection;
    {
      const std::lock_guard lock(core->mutex);
      if (core->connections.size() >= core->options.max_connections) return;
    }
    connection = std::make_shared<Connection>(*core, Connection::Socket(std::move(socket)),
                                              std::move(client));
    {
      const std::lock_guard lock(core->mutex);
      core->connections.emplace(connection.get(), connection);
    }
    asio::post(connection->executor(), [connection] { connection->start(); });
  }

  std::shared_ptr<HttpCore> core;
  Tcp::acceptor tcp;
  Local::acceptor local;
  asio::steady_timer pause;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::vector<std::thread> threads;
  std::uint16_t port = 0;
  std::string url;
};

HttpServer::HttpServer(const HttpServerOptions& options, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(options, std::move(callbacks))) {}
HttpServer::~HttpServer() = default;

const std::string& HttpServer::url() const { return impl_->url; }
std::uint16_t HttpServer::port() const { return impl_->port; }

std::size_t HttpServer::num_connections() const {
  const std::lock_guard lock(impl_->core->mutex);
  return impl_->core->connections.size();
}

void HttpServer::wait_until_idle(std::chrono::milliseconds timeout) {
  HttpCore& core = *impl_->core;
  std::unique_lock lock(core.mutex);
  core.idle.wait_for(lock, timeout, [&] { return core.num_active == 0; });
}

}  // namespace quern::tools
