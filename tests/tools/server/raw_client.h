#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace quern::testing {

/// An answer as it came.
struct RawAnswer {
  int status = 0;    ///< 0: the connection ended before one
  std::string head;  ///< status line and header fields
  std::string body;  ///< without the framing of chunks
  bool complete = false;

  nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(body); }
  bool has(const std::string& field) const { return head.find(field) != std::string::npos; }
  /// The data of the events of a stream, "[DONE]" included.
  std::vector<std::string> events() const;
  /// {"error"}'s parts.
  std::string error(const std::string& part) const;
};

/// A plain socket to a server on this machine: sends any bytes, reads answers. Each wait ends after
/// 20 seconds (kPatienceFactor times that).
class RawClient {
 public:
  explicit RawClient(std::uint16_t port);
  explicit RawClient(const std::string& uds);
  ~RawClient();
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  /// False where the server has closed the connection.
  bool send(const std::string& bytes);
  /// The next answer; with `bodiless` one to HEAD.
  RawAnswer read(bool bodiless = false);
  /// Waits until `text` has come, without taking it.
  bool wait_for(const std::string& text);
  /// Waits for the end of the connection; true if it came.
  bool wait_for_end();
  void close();

 private:
  bool more();

  int socket_ = -1;
  std::string in_;
  bool ended_ = false;
};

/// A request with Content-Length; `fields` are lines that end with "\r\n".
std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body = "", const std::string& fields = "");

}  // namespace quern::testing
