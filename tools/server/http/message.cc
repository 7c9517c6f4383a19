#include "tools/server/http/message.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ctime>

namespace quern::tools {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](unsigned char c) { return std::tolower(c); };
  return std::ranges::equal(a, b, {}, lower, lower);
}

const std::string* find_field(const HttpHeaders& headers, std::string_view name) {
  for (const auto& [key, value] : headers.fields()) {
    if (same_name(key, name)) return &value;
  }
  return nullptr;
}

}  // namespace

std::string_view HttpHeaders::get(std::string_view name) const {
  const std::string* value = find_field(*this, name);
  return value == nullptr ? std::string_view() : *value;
}

bool HttpHeaders::has(std::string_view name) const { return find_field(*this, name) != nullptr; }

std::string_view HttpRequest::path() const {
  std::string_view path = target;
  if (const std::size_t scheme = path.find("://");
      scheme != std::string_view::npos && scheme < path.find('/')) {
    path.remove_prefix(scheme + 3);
    path.remove_prefix(std::min(path.find('/'), path.size()));
  }
  return path.substr(0, path.find_first_of("?#"));
}

const char* status_reason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Unknown";
  }
}

std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive) {
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {:%a, %d %b %Y %H:%M:%S} GMT\r\n", response.status,
                  status_reason(response.status), fmt::gmtime(std::time(nullptr)));
  for (const auto& [name, value] : response.headers.fields()) {
    head += fmt::format("{}: {}\r\n", name, value);
  }
  if (framing == BodyFraming::length && response.status != 204) {
    head += fmt::format("Content-Length: {}\r\n", response.body.size());
  }
  if (framing == BodyFraming::chunked) head += "Transfer-Encoding: chunked\r\n";
  head += keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return head;
}

std::string chunk(std::string_view piece) {
  return fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
}

}  // namespace quern::tools
