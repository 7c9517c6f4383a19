#include "tools/server/http/request_reader.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <string>
#include <utility>

namespace quern::tools {
namespace http = boost::beast::http;

struct RequestReader::Parser {
  http::request_parser<http::string_body> request;
  bool continue_told = false;
  int status = 0;
  std::string error;
};

RequestReader::RequestReader(const HttpLimits& limits) : limits_(limits) {}
RequestReader::~RequestReader() = default;

RequestReader::State RequestReader::feed(std::string_view bytes, std::size_t& used) {
  if (!parser_) {
    parser_ = std::make_unique<Parser>();
    // The parser counts what it has seen of an unfinished header line anew each time; the
    // connection's buffer is bounded by the same limit.
    parser_->request.header_limit(static_cast<std::uint32_t>(limits_.max_header_bytes));
    parser_->request.body_limit(limits_.max_body_bytes);
  }
  auto& request = parser_->request;
  used = 0;
  while (!request.is_done() && used < bytes.size()) {
    boost::system::error_code error;
    const std::size_t taken =
        request.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += taken;
    if (error == http::error::need_more) break;
    if (error) {
      const bool header = error == http::error::header_limit;
      const bool body = error == http::error::body_limit;
      parser_->status = header ? 431 : body ? 413 : 400;
      parser_->error = header ? "the header of the request has more than " +
                                    std::to_string(limits_.max_header_bytes) + " bytes"
                       : body ? "the body of the request has more than " +
                                    std::to_string(limits_.max_body_bytes) + " bytes"
                              : "not a valid HTTP request: " + error.message();
      return State::failed;
    }
    if (taken == 0) break;
  }
  if (request.is_done()) return State::done;
  if (!request.is_header_done() && bytes.size() - used > limits_.max_header_bytes) {
    parser_->status = 431;
    parser_->error = "the header of the request has more than " +
                     std::to_string(limits_.max_header_bytes) + " bytes";
    return State::failed;
  }
  return State::more;
}

bool RequestReader::wants_continue() {
  if (!parser_ || parser_->continue_told || !parser_->request.is_header_done()) return false;
  parser_->continue_told = true;
  const auto& fields = parser_->request.get();
  return fields.version() >= 11 &&
         boost::beast::iequals(fields[http::field::expect], "100-continue");
}

HttpRequest RequestReader::take() {
  const std::unique_ptr<Parser> parser = std::move(parser_);
  auto& message = parser->request.get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.version = static_cast<int>(message.version());
  request.keep_alive = message.keep_alive();
  for (const auto& field : message) {
    request.headers.add(std::string(field.name_string()), std::string(field.value()));
  }
  request.body = std::move(message.body());
  request.received = std::chrono::steady_clock::now();
  return request;
}

int RequestReader::error_status() const { return parser_->status; }
std::string_view RequestReader::error() const { return parser_->error; }

}  // namespace quern::tools
