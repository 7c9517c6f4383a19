#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "tools/server/http/message.h"

namespace quern::tools {

/// What bounds a request before anything of it is understood.
struct HttpLimits {
  std::size_t max_header_bytes = 16 << 10;  ///< request line and header fields
  std::size_t max_body_bytes = 16 << 20;
};

/// Reads one request after another from the bytes of a connection. Needs no socket.
class RequestReader {
 public:
  explicit RequestReader(const HttpLimits& limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  enum class State {
    more,    ///< the request goes on behind these bytes
    done,    ///< take() has it
    failed,  ///< error_status() and error() say why; the connection is of no further use
  };

  /// Takes bytes up to the end of a request; `used` is how many of them. The rest, if there is any,
  /// is wanted again with the next bytes.
  State feed(std::string_view bytes, std::size_t& used);

  /// True once after the header of a request whose client waits for "100 Continue".
  bool wants_continue();

  /// The request that is done; the next feed() begins another one.
  HttpRequest take();

  int error_status() const;  ///< 400, 413 or 431
  std::string_view error() const;

 private:
  struct Parser;
  HttpLimits limits_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace quern::tools
