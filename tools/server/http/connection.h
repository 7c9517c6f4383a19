#pragma once

#include <array>
#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/server/http/http_server.h"

// Inside of the HTTP server: sources that include this one compile Boost.Asio.

namespace quern::tools {

class Connection;
class ConnectionExchange;

/// What the connections of a server share. Exchanges hold it weakly: they may outlive the server.
struct HttpCore : std::enable_shared_from_this<HttpCore> {
  HttpServerOptions options;
  HttpServer::Callbacks callbacks;

  std::mutex mutex;
  std::condition_variable idle;
  std::size_t num_active = 0;  ///< requests that are being answered
  std::unordered_map<const Connection*, std::weak_ptr<Connection>> connections;
  /// Exchanges whose responders have something new; while there are some, a handler is posted.
  std::vector<std::shared_ptr<ConnectionExchange>> woken;

  /// The last member: what it still holds when it ends are connections, which use the others.
  boost::asio::io_context io;

  void wake(std::shared_ptr<ConnectionExchange> exchange);
};

/// One client. All members but the constructor run on the strand of its socket.
class Connection final : public std::enable_shared_from_this<Connection>, public ResponseWriter {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  Connection(HttpCore& core, Socket socket, std::string client);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  Socket::executor_type executor() { return socket_.get_executor(); }

  void answer(const ConnectionExchange& exchange, HttpResponse response);
  void answer_by(const ConnectionExchange& exchange, std::unique_ptr<Responder> responder);
  void on_wake(const ConnectionExchange& exchange);

  void respond(HttpResponse response) override;
  void begin(HttpResponse head) override;
  void write(std::string_view piece) override;
  void finish() override;

 private:
  using Clock = std::chrono::steady_clock;
  /// What the connection is doing, which says what its deadline means.
  enum class Phase { idle, reading, answering, lingering, closed };

  void read_more();
  void on_read(bool failed, bool at_end, std::size_t count);
  void take_requests();
  void begin_exchange();
  /// Answers what never became a request, and ends the connection.
  void refuse(int status, const std::string& message);
  void write_out();
  void on_written(bool failed);
  void poll();
  void end_exchange();
  void report(int status);
  void client_left();
  void linger();
  void close();
  void set_deadline(std::optional<Clock::duration> time);
  void arm_timer();
  void on_deadline();

  HttpCore& core_;
  Socket socket_;
  std::string client_;
  Phase phase_ = Phase::idle;

  RequestReader reader_;
  std::array<char, 16384> chunk_ = {};
  std::string in_;  ///< bytes that no request has taken yet
  bool reading_ = false;
  bool at_end_ = false;  ///< the client sends no more

  std::shared_ptr<ConnectionExchange> exchange_;  ///< what is being answered
  std::unique_ptr<Responder> responder_;
  bool woken_ = false;
  bool begun_ = false;     ///< a status line is written
  bool finished_ = false;  ///< the response is complete
  bool closes_ = false;    ///< the connection ends after it
  bool bodiless_ = false;  ///< HEAD
  BodyFraming framing_ = BodyFraming::length;
  int status_ = 0;
  std::size_t body_bytes_ = 0;

  std::string out_;        ///< to be written next
  std::string in_flight_;  ///< being written
  bool writing_ = false;

  boost::asio::steady_timer timer_;
  std::optional<Clock::time_point> deadline_;
  std::optional<Clock::time_point> armed_;
};

class ConnectionExchange final : public Exchange,
                                 public std::enable_shared_from_this<ConnectionExchange> {
 public:
  ConnectionExchange(std::weak_ptr<HttpCore> core, std::weak_ptr<Connection> connection,
                     HttpRequest request);

  const HttpRequest& request() const override { return request_; }
  const std::string& id() const override { return id_; }
  bool abandoned() const override { return abandoned_; }
  void respond(HttpResponse response) override;
  void respond_by(std::unique_ptr<Responder> responder) override;
  void wake() override;

  void abandon() { abandoned_ = true; }
  /// From here on a wake() is news again.
  void note_wake() { woken_ = false; }
  std::shared_ptr<Connection> connection() const { return connection_.lock(); }

 private:
  std::weak_ptr<HttpCore> core_;
  std::weak_ptr<Connection> connection_;
  HttpRequest request_;
  std::string id_;
  std::atomic<bool> abandoned_ = false;
  std::atomic<bool> woken_ = false;
  std::atomic<bool> answered_ = false;
};

}  // namespace quern::tools
