#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tools/server/http/message.h"

namespace quern::tools {

/// Writes the response to one request: respond(), or begin(), any number of write() and finish().
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual void respond(HttpResponse response) = 0;
  /// Status and header fields; the body follows piece by piece.
  virtual void begin(HttpResponse head) = 0;
  virtual void write(std::string_view piece) = 0;
  virtual void finish() = 0;
};

/// Makes a response while it becomes known. Its calls never overlap. It is destroyed when the
/// response is finished or the client has left, whichever comes first.
class Responder {
 public:
  virtual ~Responder() = default;
  /// Called after each Exchange::wake(), but only when all that was written before is with the
  /// client's system: what came in between is written at once, and a slow client holds nothing up
  /// but itself. Must not block.
  virtual void poll(ResponseWriter& writer) = 0;
};

/// One request and the way to answer it. Thread-safe.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  /// The request's X-Request-Id, or one of our own.
  virtual const std::string& id() const = 0;
  /// True once the client has left: nobody waits for the answer.
  virtual bool abandoned() const = 0;
  /// Answers; the first of these calls counts.
  virtual void respond(HttpResponse response) = 0;
  /// Leaves the answer to `responder`, and polls it once.
  virtual void respond_by(std::unique_ptr<Responder> responder) = 0;
  /// There is something new for the responder. Cheap: many calls become one wake of a thread.
  virtual void wake() = 0;
};

}  // namespace quern::tools
