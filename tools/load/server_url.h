#pragma once

#include <string>
#include <string_view>

namespace quern::tools {

/// Where a server is: a host and port, or a Unix socket.
struct ServerUrl {
  std::string host;  ///< empty with a Unix socket
  std::string port;
  std::string socket_path;
  std::string prefix;  ///< of all paths: "" or "/proxy"

  /// As the Host header field has it.
  std::string authority() const;
};

/// "http://127.0.0.1:8000", with or without "/v1" behind it, as OpenAI's clients have it, "[::1]"
/// for IPv6, and "unix:/path" as `quern serve --uds` prints it. Errors: UsageError, also for https.
ServerUrl parse_server_url(const std::string& option, std::string_view text);

}  // namespace quern::tools
