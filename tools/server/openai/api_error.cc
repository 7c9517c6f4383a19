#include "tools/server/openai/api_error.h"

namespace quern::tools {
namespace {

/// OpenAI's word for errors of a status.
const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

}  // namespace

ApiError::ApiError(int status, std::string message, std::string param, std::string code)
    : status_(status),
      message_(std::move(message)),
      param_(std::move(param)),
      code_(std::move(code)) {}

OrderedJson ApiError::json() const {
  const auto or_null = [](const std::string& text) {
    return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
  };
  return {{"error",
           {{"message", message_},
            {"type", error_type(status_)},
            {"param", or_null(param_)},
            {"code", or_null(code_)}}}};
}

HttpResponse ApiError::response() const {
  HttpResponse response = json_response(json(), status_);
  if (status_ == 429 || status_ == 503) response.headers.add("Retry-After", "1");
  if (status_ == 401) response.headers.add("WWW-Authenticate", "Bearer");
  return response;
}

ApiError api_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::invalid_argument:
    case ErrorCode::bad_file:  // a text that was to be JSON
    case ErrorCode::unsupported:
      return {400, error.what()};
    case ErrorCode::queue_full:
      return {429, error.what(), "", "queue_full"};
    case ErrorCode::unavailable:
      return {503, error.what(), "", "unavailable"};
    default:
      return {500, "the server failed on this request; its log says why", "", "internal"};
  }
}

std::string json_body(const OrderedJson& json) {
  constexpr int kOneLine = -1;
  return json.dump(kOneLine, ' ', false, OrderedJson::error_handler_t::replace);
}

HttpResponse json_response(const OrderedJson& json, int status) {
  HttpResponse response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  response.body = json_body(json);
  return response;
}

}  // namespace quern::tools
