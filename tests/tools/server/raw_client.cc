#include "tests/tools/server/raw_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>

#include "tests/support/sanitizers.h"

namespace quern::testing {
namespace {

constexpr int kPatienceMs = 20'000 * kPatienceFactor;

int connected(const sockaddr* address, socklen_t size, int family) {
  const int made = ::socket(family, SOCK_STREAM, 0);
  if (made < 0 || ::connect(made, address, size) != 0) {
    throw std::runtime_error("cannot connect to the server");
  }
  return made;
}

std::string lowered(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

}  // namespace

std::vector<std::string> RawAnswer::events() const {
  std::vector<std::string> events;
  const std::string begin = "data: ";
  const std::string end = "\n\n";
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t stop = body.find(end, at);
    if (body.compare(at, begin.size(), begin) != 0 || stop == std::string::npos) {
      throw std::runtime_error("not an event: " + body.substr(at));
    }
    events.push_back(body.substr(at + begin.size(), stop - at - begin.size()));
    at = stop + end.size();
  }
  return events;
}

std::string RawAnswer::error(const std::string& part) const {
  const auto value = json().at("error").at(part);
  return value.is_null() ? "null" : value.get<std::string>();
}

RawClient::RawClient(std::uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socket_ = connected(reinterpret_cast<const sockaddr*>(&address), sizeof(address), AF_INET);
}

RawClient::RawClient(const std::string& uds) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  uds.copy(address.sun_path, sizeof(address.sun_path) - 1);
  socket_ = connected(reinterpret_cast<const sockaddr*>(&address), sizeof(address), AF_UNIX);
}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (socket_ >= 0) ::close(socket_);
  socket_ = -1;
}

bool RawClient::send(const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const auto count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

bool RawClient::more() {
  if (ended_) return false;
  pollfd wait = {socket_, POLLIN, 0};
  if (::poll(&wait, 1, kPatienceMs) != 1) return false;
  std::string bytes(65536, '\0');
  const auto count = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (count <= 0) {
    ended_ = true;
    return false;
  }
  in_.append(bytes, 0, static_cast<std::size_t>(count));
  return true;
}

bool RawClient::wait_for(const std::string& text) {
  while (in_.find(text) == std::string::npos) {
    if (!more()) return false;
  }
  return true;
}

bool RawClient::wait_for_end() {
  while (more()) {
  }
  return ended_;
}

RawAnswer RawClient::read(bool bodiless) {
  RawAnswer answer;
  if (!wait_for("\r\n\r\n")) return answer;
  const std::size_t head_end = in_.find("\r\n\r\n") + 4;
  answer.head = in_.substr(0, head_end);
  in_.erase(0, head_end);
  answer.status = std::atoi(answer.head.substr(9, 3).c_str());
  const std::string head = lowered(answer.head);
  const std::string length_name = "content-length: ";
  if (bodiless || answer.status == 204 || answer.status == 100) {
    answer.complete = true;
  } else if (const std::size_t at = head.find(length_name); at != std::string::npos) {
    const std::size_t length = std::strtoull(head.c_str() + at + length_name.size(), nullptr, 10);
    while (in_.size() < length && more()) {
    }
    answer.complete = in_.size() >= length;
    answer.body = in_.substr(0, length);
    in_.erase(0, answer.body.size());
  } else if (head.find("transfer-encoding: chunked") != std::string::npos) {
    while (wait_for("\r\n")) {
      const std::size_t size = std::strtoull(in_.c_str(), nullptr, 16);
      const std::size_t begin = in_.find("\r\n") + 2;
      while (in_.size() < begin + size + 2 && more()) {
      }
      answer.body += in_.substr(begin, size);
      in_.erase(0, begin + size + 2);
      if (size > 0) continue;
      answer.complete = true;
      break;
    }
  } else {
    answer.complete = wait_for_end();
    answer.body.swap(in_);
  }
  return answer;
}

std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body, const std::string& fields) {
  return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields +
         (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" +
         body;
}

}  // namespace quern::testing
