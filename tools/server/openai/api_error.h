#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

#include "quern/error.h"
#include "tools/output/json_output.h"
#include "tools/server/http/message.h"

namespace quern::tools {

/// An answer that is an error: {"error": {"message", "type", "param", "code"}}.
class ApiError : public std::exception {
 public:
  ApiError(int status, std::string message, std::string param = "", std::string code = "");
  const char* what() const noexcept override { return message_.c_str(); }

  int status() const { return status_; }
  OrderedJson json() const;
  HttpResponse response() const;

 private:
  int status_;
  std::string message_;
  std::string param_;  ///< the field; empty: null
  std::string code_;   ///< a word for programs; empty: null
};

/// 400 naming the field.
template <typename... Args>
[[noreturn]] void bad_field(const std::string& param, fmt::format_string<Args...> format,
                            Args&&... args) {
  throw ApiError(400, param + ": " + fmt::format(format, std::forward<Args>(args)...), param);
}

/// The library's error as one of the API. Paths stay out of it.
ApiError api_error(const Error& error);

/// 200 with JSON; what is not UTF-8 in it is replaced.
HttpResponse json_response(const OrderedJson& json, int status = 200);

/// One line of JSON without its end.
std::string json_body(const OrderedJson& json);

}  // namespace quern::tools
