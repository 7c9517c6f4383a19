#include "tools/load/server_url.h"

#include "quern/text.h"
#include "tools/cli/numbers.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kUnix = "unix:";
constexpr int kMaxPort = 65535;

[[noreturn]] void reject(const std::string& option, std::string_view text) {
  usage_error("{}: expected http://HOST:PORT or unix:PATH, got {}", option, quoted_name(text));
}

void remove_suffix(std::string& text, std::string_view suffix) {
  if (text.ends_with(suffix)) text.resize(text.size() - suffix.size());
}

/// Where the port begins in "host:port" or "[::1]:port"; npos without one.
std::size_t port_colon(std::string_view authority) {
  const std::size_t bracket = authority.rfind(']');
  return authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
}

}  // namespace

std::string ServerUrl::authority() const {
  if (host.empty()) return "localhost";
  const bool is_v6 = host.find(':') != std::string::npos;
  return (is_v6 ? "[" + host + "]" : host) + (port == "80" ? "" : ":" + port);
}

ServerUrl parse_server_url(const std::string& option, std::string_view text) {
  ServerUrl url;
  if (text.starts_with(kUnix)) {
    url.socket_path = text.substr(kUnix.size());
    if (url.socket_path.empty()) reject(option, text);
    return url;
  }
  if (text.starts_with("https://")) {
    usage_error("{}: {}: TLS is not supported; a proxy on this machine can add it", option,
                quoted_name(text));
  }
  if (!text.starts_with(kHttp)) reject(option, text);
  const std::string_view rest = text.substr(kHttp.size());
  const std::string_view authority = rest.substr(0, rest.find('/'));
  url.prefix = rest.substr(authority.size());
  if (url.prefix.find_first_of("?# ") != std::string::npos) reject(option, text);
  remove_suffix(url.prefix, "/");
  remove_suffix(url.prefix, "/v1");
  const std::size_t colon = port_colon(authority);
  url.host = authority.substr(0, colon);
  if (url.host.starts_with('[') && url.host.ends_with(']')) {
    url.host = url.host.substr(1, url.host.size() - 2);
  }
  if (url.host.empty() || url.host.find_first_of("@ []") != std::string::npos) {
    reject(option, text);
  }
  url.port = "80";
  if (colon != std::string_view::npos) {
    url.port = std::to_string(parse_integer(option + ": the port of " + quoted_name(text),
                                            authority.substr(colon + 1), 1, kMaxPort));
  }
  return url;
}

}  // namespace quern::tools
