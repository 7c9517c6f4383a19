#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/server/http/message.h"

namespace quern::tools {

/// Who may ask: keys, and origins of web pages.
class AccessRules {
 public:
  AccessRules(std::vector<std::string> api_keys, std::vector<std::string> cors_origins);

  /// True where there are no keys, or the request has one of them, as `Authorization: Bearer` or
  /// `X-Api-Key`. Its time does not depend on where a wrong key differs.
  bool admits(const HttpRequest& request) const;

  /// Adds what lets a web page of an allowed origin read the answer.
  void add_cors(const HttpRequest& request, HttpHeaders& headers) const;
  /// The answer to OPTIONS; `methods` as in Allow.
  HttpResponse preflight(const HttpRequest& request, const std::string& methods) const;

 private:
  bool allows_origin(std::string_view origin) const;

  std::vector<std::string> api_keys_;
  std::vector<std::string> cors_origins_;
};

/// The keys of a file, one a line; empty lines and those that begin with # are none. Errors:
/// not_found; bad_file for a file without keys, or with one that no header can have.
std::vector<std::string> read_api_keys(const std::string& file);

}  // namespace quern::tools
