#include "tools/server/access.h"

#include <algorithm>
#include <cctype>

#include "tools/cli/fail.h"
#include "tools/input/text_input.h"
#include "tools/input/trimmed_text.h"

namespace quern::tools {
namespace {

constexpr std::string_view kBearer = "bearer ";

/// Looks at all of the given text, whatever it is.
bool same_secret(std::string_view given, std::string_view key) {
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference |=
        static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

std::string_view given_key(const HttpRequest& request) {
  const std::string_view authorization = request.headers.get("Authorization");
  const std::string_view scheme = authorization.substr(0, kBearer.size());
  const auto lower = [](unsigned char c) { return static_cast<char>(std::tolower(c)); };
  if (std::ranges::equal(scheme, kBearer, {}, lower)) {
    return trimmed_text(authorization.substr(kBearer.size()));
  }
  return request.headers.get("X-Api-Key");
}

}  // namespace

AccessRules::AccessRules(std::vector<std::string> api_keys, std::vector<std::string> cors_origins)
    : api_keys_(std::move(api_keys)), cors_origins_(std::move(cors_origins)) {}

bool AccessRules::admits(const HttpRequest& request) const {
  if (api_keys_.empty()) return true;
  const std::string_view given = given_key(request);
  bool found = false;
  for (const std::string& key : api_keys_) found |= same_secret(given, key);
  return found;
}

bool AccessRules::allows_origin(std::string_view origin) const {
  return std::ranges::any_of(cors_origins_, [&](const std::string& allowed) {
    return allowed == "*" || allowed == origin;
  });
}

void AccessRules::add_cors(const HttpRequest& request, HttpHeaders& headers) const {
  if (cors_origins_.empty()) return;
  headers.add("Vary", "Origin");
  const std::string_view origin = request.headers.get("Origin");
  if (origin.empty() || !allows_origin(origin)) return;
  headers.add("Access-Control-Allow-Origin", std::string(origin));
  headers.add("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

HttpResponse AccessRules::preflight(const HttpRequest& request, const std::string& methods) const {
  HttpResponse response;
  response.headers.add("Allow", methods);
  const std::string_view origin = request.headers.get("Origin");
  if (!origin.empty() && allows_origin(origin)) {
    response.headers.add("Access-Control-Allow-Methods", methods);
    response.headers.add("Access-Control-Allow-Headers",
                         "Authorization, Content-Type, X-Api-Key, X-Request-Id");
    response.headers.add("Access-Control-Max-Age", "86400");
  }
  return response;
}

std::vector<std::string> read_api_keys(const std::string& file) {
  const std::string text = read_utf8_file(file);
  std::vector<std::string> keys;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = trimmed_text(rest.substr(0, rest.find('\n')));
    rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
    if (line.empty() || line.front() == '#') continue;
    const bool fit = std::ranges::all_of(line, [](char c) { return c > ' ' && c <= '~'; });
    if (!fit) {
      fail(ErrorCode::bad_file, "{}: expected keys of visible ASCII characters, one a line", file);
    }
    keys.emplace_back(line);
  }
  if (keys.empty()) fail(ErrorCode::bad_file, "{}: expected API keys, one a line, got none", file);
  return keys;
}

}  // namespace quern::tools
