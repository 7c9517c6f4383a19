#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace quern::jinja {

/// How a template ends early, before a file name and a line are added.
struct Failure {
  enum class Kind : std::uint8_t {
    syntax,       ///< Jinja would not compile it
    raised,       ///< raise_exception()
    runtime,      ///< what Python or Jinja raises
    limit,        ///< too many steps, too much memory, too deep
    unsupported,  ///< known to Jinja, not to this engine
  };
  Kind kind;
  std::string message;
  int line = 0;  ///< 0: not known where it was thrown
};

[[noreturn]] inline void fail_at(int line, Failure::Kind kind, std::string message) {
  throw Failure{kind, std::move(message), line};
}

}  // namespace quern::jinja
