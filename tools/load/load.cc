#include "tools/load/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <random>

#include "tools/cli/fail.h"
#include "tools/load/http_call.h"
#include "tools/server/http/descriptor_limit.h"

namespace quern::tools {
namespace {

using Clock = AnswerReader::Clock;

class Load {
 public:
  Load(const LoadSettings& settings, const std::vector<LoadRequest>& requests,
       const LoadWatch& watch)
      : settings_(settings),
        requests_(requests),
        watch_(watch),
        endpoints_(resolve_server(io_, settings.url)),
        arrival_(io_),
        generator_(settings.seed) {}

  void warm_up() {
    next_ = 0;
    end_ = std::min<std::size_t>(static_cast<std::size_t>(settings_.warm_up), requests_.size());
    refills_ = false;
    while (next_ < end_) send(Clock::now());
    run();
    for (const AnswerRecord& answer : result_.answers) {
      if (!answer.failed()) continue;
      fail(ErrorCode::device, "the first request to {} failed: {}: {}", settings_.url.authority(),
           answer.error_kind, answer.error_message);
    }
    result_ = {};
  }

  void measure() {
    end_ = requests_.size();
    begin_ = Clock::now();
    refills_ = settings_.rate <= 0;
    if (refills_) {
      for (int i = 0; i < settings_.concurrency && next_ < end_; ++i) send(Clock::now());
    } else {
      due_ = begin_;
      wait_for_next();
    }
    run();
    result_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
  }

  LoadResult take_result() { return std::move(result_); }

 private:
  bool interrupted() const { return watch_.interrupted && watch_.interrupted(); }

  void run() {
    constexpr std::chrono::milliseconds kSlice{20};
    io_.restart();
    while (!io_.stopped() && !interrupted()) {
      io_.run_for(kSlice);
      if (watch_.on_progress) watch_.on_progress(result_.answers.size());
    }
  }

  /// Arms the timer for the next arrival. What is late already is sent at once: its time counts
  /// from when it was due.
  void wait_for_next() {
    if (next_ == end_) return;
    due_ += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(
        std::exponential_distribution<double>(settings_.rate)(generator_)));
    arrival_.expires_at(due_);
    arrival_.async_wait([this](boost::system::error_code error) {
      if (error) return;
      send(due_);
      wait_for_next();
    });
  }

  std::string text_of(const LoadRequest& request) const {
    const std::string key = settings_.api_key.empty()
                                ? std::string()
                                : fmt::format("Authorization: Bearer {}\r\n", settings_.api_key);
    return fmt::format(
        "POST {}{} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{}"
        "Accept: text/event-stream\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        settings_.url.prefix, request.path, settings_.url.authority(), key, request.body.size(),
        request.body);
  }

  void send(Clock::time_point due) {
    const LoadRequest& request = requests_[next_++];
    ++num_in_flight_;
    result_.most_at_once = std::max(result_.most_at_once, num_in_flight_);
    const auto reader = std::make_shared<AnswerReader>(due);
    CallHandlers handlers;
    handlers.on_head = [reader](int status, std::string_view type) { reader->head(status, type); };
    handlers.on_body = [reader](std::string_view bytes) { reader->body(bytes, Clock::now()); };
    handlers.on_end = [this, reader, &request](const CallFailure& failure) {
      AnswerRecord answer = reader->end(failure.kind, failure.message, Clock::now());
      if (answer.prompt_tokens == 0) answer.prompt_tokens = request.prompt_tokens;
      result_.answers.push_back(std::move(answer));
      --num_in_flight_;
      if (refills_ && next_ < end_) send(Clock::now());
    };
    start_call(io_, endpoints_, text_of(request), std::move(handlers), settings_.timeout);
  }

  const LoadSettings& settings_;
  const std::vector<LoadRequest>& requests_;
  const LoadWatch& watch_;
  boost::asio::io_context io_{1};
  std::vector<CallEndpoint> endpoints_;
  boost::asio::steady_timer arrival_;
  std::mt19937_64 generator_;
  Clock::time_point begin_;
  Clock::time_point due_;
  std::size_t next_ = 0;
  std::size_t end_ = 0;  ///< where the present part of the requests ends
  std::size_t num_in_flight_ = 0;
  bool refills_ = false;  ///< an answer's end sends the next request
  LoadResult result_;
};

}  // namespace

LoadResult run_load(const LoadSettings& settings, const std::vector<LoadRequest>& requests,
                    const LoadWatch& watch) {
  raise_descriptor_limit();
  Load load(settings, requests, watch);
  load.warm_up();
  load.measure();
  return load.take_result();
}

}  // namespace quern::tools
