#include "tools/server/http/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <random>
#include <utility>

#include "tools/server/http/connection.h"

namespace quern::tools {
namespace {

constexpr std::size_t kMaxIdBytes = 128;

/// The client's name for the request, if it is fit for a header and a log; else one of our own.
std::string request_id(const HttpRequest& request) {
  const std::string_view given = request.headers.get("X-Request-Id");
  const bool fit = !given.empty() && given.size() <= kMaxIdBytes &&
                   std::ranges::all_of(given, [](char c) { return c > ' ' && c <= '~'; });
  if (fit) return std::string(given);
  thread_local std::mt19937_64 random(std::random_device{}());
  return fmt::format("{:016x}{:016x}", random(), random());
}

}  // namespace

void HttpCore::wake(std::shared_ptr<ConnectionExchange> exchange) {
  {
    const std::lock_guard lock(mutex);
    woken.push_back(std::move(exchange));
    if (woken.size() > 1) return;  // the handler that is posted takes it along
  }
  boost::asio::post(io, [this] {
    std::vector<std::shared_ptr<ConnectionExchange>> exchanges;
    {
      const std::lock_guard lock(mutex);
      exchanges.swap(woken);
    }
    for (auto& each : exchanges) {
      each->note_wake();
      const std::shared_ptr<Connection> connection = each->connection();
      if (!connection) continue;
      boost::asio::post(connection->executor(),
                        [connection, each = std::move(each)] { connection->on_wake(*each); });
    }
  });
}

ConnectionExchange::ConnectionExchange(std::weak_ptr<HttpCore> core,
                                       std::weak_ptr<Connection> connection, HttpRequest request)
    : core_(std::move(core)),
      connection_(std::move(connection)),
      request_(std::move(request)),
      id_(request_id(request_)) {}

void ConnectionExchange::respond(HttpResponse response) {
  if (answered_.exchange(true)) return;
  const auto core = core_.lock();
  if (!core) return;
  if (const auto connection = connection_.lock()) {
    boost::asio::post(connection->executor(),
                      [connection, self = shared_from_this(),
                       response = std::make_shared<HttpResponse>(std::move(response))] {
                        connection->answer(*self, std::move(*response));
                      });
  }
}

void ConnectionExchange::respond_by(std::unique_ptr<Responder> responder) {
  if (answered_.exchange(true)) return;
  const auto core = core_.lock();
  if (!core) return;
  if (const auto connection = connection_.lock()) {
    // A function that asio takes must be one that can be copied.
    const auto held = std::make_shared<std::unique_ptr<Responder>>(std::move(responder));
    boost::asio::post(connection->executor(), [connection, self = shared_from_this(), held] {
      connection->answer_by(*self, std::move(*held));
    });
  }
}

void ConnectionExchange::wake() {
  if (woken_.exchange(true)) return;
  if (const auto core = core_.lock()) core->wake(shared_from_this());
}

}  // namespace quern::tools
