#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quern::tools {

/// Header fields in order; names compare without regard to case.
class HttpHeaders {
 public:
  void add(std::string name, std::string value) {
    fields_.emplace_back(std::move(name), std::move(value));
  }
  /// The first field of that name, or nothing.
  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// A whole request, as it arrived.
struct HttpRequest {
  std::string method;
  std::string target;  ///< as the client wrote it
  HttpHeaders headers;
  std::string body;
  int version = 11;  ///< 10 or 11
  bool keep_alive = true;
  std::chrono::steady_clock::time_point received;  ///< when its last byte was here

  /// The target without its query, and without scheme and host where it has them.
  std::string_view path() const;
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  ///< without Content-Length, Connection, Date
  std::string body;
  bool close = false;  ///< end the connection after it
};

/// "OK", "Not Found"; of a status this server never sends "Unknown".
const char* status_reason(int status);

/// How the body of a response is delimited.
enum class BodyFraming {
  length,   ///< Content-Length
  chunked,  ///< chunks
  to_end,   ///< the connection's end: HTTP/1.0
};

/// Status line and header fields, with the empty line behind them.
std::string response_head(const HttpResponse& response, BodyFraming framing, bool keep_alive);

/// One chunk of a chunked body; not for an empty piece, which would end it.
std::string chunk(std::string_view piece);

/// What ends a chunked body.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace quern::tools
