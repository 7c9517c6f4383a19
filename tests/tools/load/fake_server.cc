#include "tests/tools/load/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>

namespace quern::testing {
namespace {

/// Header and body, as far as they come.
std::string read_request(int connection) {
  std::string request;
  std::array<char, 4096> bytes = {};
  while (true) {
    const std::size_t head_end = request.find("\r\n\r\n");
    if (head_end != std::string::npos) {
      const std::size_t at = request.find("Content-Length: ");
      const std::size_t length =
          at == std::string::npos ? 0 : std::strtoull(request.c_str() + at + 16, nullptr, 10);
      if (request.size() >= head_end + 4 + length) return request;
    }
    const auto count = ::recv(connection, bytes.data(), bytes.size(), 0);
    if (count <= 0) return request;
    request.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

}  // namespace

FakeServer::FakeServer(std::function<std::string(const std::string&)> answer)
    : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* plain = reinterpret_cast<sockaddr*>(&address);
  constexpr int kBacklog = 64;
  if (::bind(listener_, plain, size) != 0 || ::listen(listener_, kBacklog) != 0 ||
      ::getsockname(listener_, plain, &size) != 0) {
    throw std::runtime_error("no port for a fake server");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

FakeServer::~FakeServer() {
  ::shutdown(listener_, SHUT_RDWR);  // which ends accept()
  thread_.join();
  ::close(listener_);
}

std::vector<std::string> FakeServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void FakeServer::serve() {
  while (true) {
    const int connection = ::accept(listener_, nullptr, nullptr);
    if (connection < 0) return;
    const std::string request = read_request(connection);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const std::string answer = answer_(request);
    (void)!::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(connection);
  }
}

std::string http_answer(int status, const std::string& type, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) + " Any\r\nContent-Type: " + type +
         "\r\nConnection: close\r\n\r\n" + body;
}

std::string streamed_answer(const std::vector<std::string>& texts) {
  std::string body;
  for (const std::string& text : texts) {
    body += R"(data: {"model": "fake", "choices": [{"index": 0, "text": ")" + text +
            R"(", "finish_reason": null}], "usage": null})" + "\n\n";
  }
  body += R"(data: {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})"
          "\n\n"
          R"(data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})"
          "\n\ndata: [DONE]\n\n";
  return http_answer(200, "text/event-stream; charset=utf-8", body);
}

}  // namespace quern::testing
