#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace quern::testing {

/// A server that answers whatever a test wants: each connection gets one request's worth of bytes,
/// and is closed. One connection at a time.
class FakeServer {
 public:
  /// `answer` makes of a request, header and body, the bytes that come back.
  explicit FakeServer(std::function<std::string(const std::string& request)> answer);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() const;

 private:
  void serve();

  std::function<std::string(const std::string&)> answer_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

/// An answer of that type whose body ends with the connection.
std::string http_answer(int status, const std::string& type, const std::string& body);

/// A streamed completion: an event for each text, then the finish_reason, usage and [DONE].
std::string streamed_answer(const std::vector<std::string>& texts);

}  // namespace quern::testing
