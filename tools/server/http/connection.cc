#include "tools/server/http/connection.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <utility>

namespace quern::tools {
namespace {

/// Bytes of further requests that are read while one is being answered.
constexpr std::size_t kMaxPipelinedBytes = 64 << 10;
/// How long a refused client may go on sending before the connection is closed: closed at once, it
/// would not see the answer.
constexpr std::chrono::seconds kLingerTime{2};

}  // namespace

Connection::Connection(HttpCore& core, Socket socket, std::string client)
    : core_(core),
      socket_(std::move(socket)),
      client_(std::move(client)),
      reader_(core.options.limits),
      timer_(socket_.get_executor()) {}

Connection::~Connection() {
  const std::lock_guard lock(core_.mutex);
  core_.connections.erase(this);
}

void Connection::start() {
  set_deadline(core_.options.idle_timeout);
  read_more();
}

void Connection::read_more() {
  const bool full = exchange_ && in_.size() >= kMaxPipelinedBytes;
  if (reading_ || at_end_ || full || phase_ == Phase::closed) return;
  reading_ = true;
  socket_.async_read_some(
      boost::asio::buffer(chunk_),
      [self = shared_from_this()](boost::system::error_code error, std::size_t count) {
        self->on_read(bool(error), error == boost::asio::error::eof, count);
      });
}

void Connection::on_read(bool failed, bool at_end, std::size_t count) {
  reading_ = false;
  if (phase_ == Phase::closed) return;
  if (failed) {
    at_end_ = true;
    // Of a response that is complete the client may still want the rest.
    if (at_end && finished_ && phase_ == Phase::answering) {
      closes_ = true;
    } else {
      client_left();
    }
    return;
  }
  if (phase_ != Phase::lingering) {
    in_.append(chunk_.data(), count);
    take_requests();
  }
  read_more();
}

void Connection::take_requests() {
  if (exchange_ || in_.empty() || phase_ == Phase::lingering || phase_ == Phase::closed) return;
  if (phase_ == Phase::idle) {
    phase_ = Phase::reading;
    set_deadline(core_.options.read_timeout);
  }
  std::size_t used = 0;
  const RequestReader::State state = reader_.feed(in_, used);
  in_.erase(0, used);
  switch (state) {
    case RequestReader::State::more:
      if (reader_.wants_continue()) {
        out_ += "HTTP/1.1 100 Continue\r\n\r\n";
        write_out();
      }
      return;
    case RequestReader::State::done:
      return begin_exchange();
    case RequestReader::State::failed:
      return refuse(reader_.error_status(), std::string(reader_.error()));
  }
}

void Connection::begin_exchange() {
  phase_ = Phase::answering;
  set_deadline(std::nullopt);
  HttpRequest request = reader_.take();
  closes_ = !request.keep_alive;
  bodiless_ = request.method == "HEAD";
  framing_ = request.version < 11 ? BodyFraming::to_end : BodyFraming::chunked;
  begun_ = finished_ = woken_ = false;
  status_ = 0;
  body_bytes_ = 0;
  exchange_ = std::make_shared<ConnectionExchange>(core_.weak_from_this(), weak_from_this(),
                                                   std::move(request));
  {
    const std::lock_guard lock(core_.mutex);
    ++core_.num_active;
  }
  core_.callbacks.on_request(exchange_);
}

void Connection::refuse(int status, const std::string& message) {
  const HttpResponse response = core_.callbacks.on_bad_request(status, message);
  status_ = response.status;
  body_bytes_ = response.body.size();
  out_ += response_head(response, BodyFraming::length, false) + response.body;
  in_.clear();
  phase_ = Phase::lingering;
  report(status_);
  set_deadline(kLingerTime);
  write_out();
}

void Connection::answer(const ConnectionExchange& exchange, HttpResponse response) {
  if (exchange_.get() == &exchange && !begun_) respond(std::move(response));
}

void Connection::answer_by(const ConnectionExchange& exchange,
                           std::unique_ptr<Responder> responder) {
  if (exchange_.get() != &exchange || begun_) return;  // and with the responder its work ends
  responder_ = std::move(responder);
  woken_ = true;
  if (!writing_) poll();
}

void Connection::on_wake(const ConnectionExchange& exchange) {
  if (exchange_.get() != &exchange) return;
  woken_ = true;
  if (!writing_) poll();
}

void Connection::poll() {
  if (!responder_ || finished_) return;
  woken_ = false;
  responder_->poll(*this);
  write_out();
}

void Connection::respond(HttpResponse response) {
  begun_ = finished_ = true;
  status_ = response.status;
  closes_ = closes_ || response.close;
  out_ += response_head(response, BodyFraming::length, !closes_);
  if (!bodiless_) {
    out_ += response.body;
    body_bytes_ = response.body.size();
  }
  write_out();
}

void Connection::begin(HttpResponse head) {
  begun_ = true;
  status_ = head.status;
  closes_ = closes_ || head.close || framing_ == BodyFraming::to_end;
  out_ += response_head(head, framing_, !closes_);
}

void Connection::write(std::string_view piece) {
  if (piece.empty() || bodiless_) return;
  body_bytes_ += piece.size();
  if (framing_ == BodyFraming::chunked) {
    out_ += chunk(piece);
  } else {
    out_ += piece;
  }
}

void Connection::finish() {
  finished_ = true;
  if (framing_ == BodyFraming::chunked && !bodiless_) out_ += kLastChunk;
}

void Connection::write_out() {
  if (writing_ || out_.empty() || phase_ == Phase::closed) return;
  writing_ = true;
  in_flight_.swap(out_);
  out_.clear();
  if (phase_ == Phase::answering) set_deadline(core_.options.write_timeout);
  boost::asio::async_write(
      socket_, boost::asio::buffer(in_flight_),
      [self = shared_from_this()](boost::system::error_code error, std::size_t /*count*/) {
        self->on_written(bool(error));
      });
}

void Connection::on_written(bool failed) {
  writing_ = false;
  if (phase_ == Phase::closed) return;
  if (failed) return client_left();
  if (!out_.empty()) return write_out();
  if (phase_ == Phase::lingering) return linger();
  if (phase_ != Phase::answering) return;
  set_deadline(std::nullopt);
  if (finished_) return end_exchange();
  if (woken_) poll();
}

void Connection::end_exchange() {
  report(status_);
  responder_.reset();
  exchange_.reset();
  if (closes_ || at_end_) {
    phase_ = Phase::lingering;
    set_deadline(kLingerTime);
    return linger();
  }
  phase_ = Phase::idle;
  set_deadline(core_.options.idle_timeout);
  take_requests();
  read_more();
}

void Connection::report(int status) {
  HttpRecord record;
  record.client = client_;
  record.status = status;
  record.body_bytes = body_bytes_;
  if (exchange_) {
    const HttpRequest& request = exchange_->request();
    record.method = request.method;
    record.target = request.target;
    record.id = exchange_->id();
    record.total_ms =
        std::chrono::duration<double, std::milli>(Clock::now() - request.received).count();
  }
  if (core_.callbacks.on_answered) core_.callbacks.on_answered(record);
  if (!exchange_) return;
  const std::lock_guard lock(core_.mutex);
  if (--core_.num_active == 0) core_.idle.notify_all();
}

void Connection::client_left() {
  if (exchange_) {
    exchange_->abandon();
    report(begun_ ? status_ : 0);
    responder_.reset();
    exchange_.reset();
  }
  close();
}

void Connection::linger() {
  in_.clear();
  boost::system::error_code ignored;
  socket_.shutdown(boost::asio::socket_base::shutdown_send, ignored);
  if (at_end_) return close();
  read_more();
}

void Connection::close() {
  phase_ = Phase::closed;
  deadline_.reset();
  timer_.cancel();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void Connection::set_deadline(std::optional<Clock::duration> time) {
  if (!time) {
    deadline_.reset();
    return;
  }
  deadline_ = Clock::now() + *time;
  // A timer that fires early looks at the deadline anew: most deadlines only move on.
  if (!armed_ || *armed_ > *deadline_) arm_timer();
}

void Connection::arm_timer() {
  armed_ = deadline_;
  timer_.expires_at(*deadline_);
  timer_.async_wait([self = weak_from_this()](boost::system::error_code error) {
    if (error) return;  // armed anew, or closed
    if (const auto connection = self.lock()) connection->on_deadline();
  });
}

void Connection::on_deadline() {
  armed_.reset();
  if (phase_ == Phase::closed || !deadline_) return;
  if (Clock::now() < *deadline_) return arm_timer();
  if (phase_ != Phase::reading) return client_left();
  refuse(408, "the request was not complete in " +
                  std::to_string(core_.options.read_timeout.count()) + " ms");
}

}  // namespace quern::tools
