#pragma once

#include <memory>
#include <string>

#include "tools/output/interrupt.h"

namespace quern::tools {

/// What the user of a chat entered.
struct InputLine {
  enum class Kind {
    text,         ///< a message or a command, perhaps of several lines
    interrupted,  ///< Ctrl-C: what was typed is dropped
    end,          ///< of the input
  };
  Kind kind = Kind::end;
  std::string text;
};

/// Where the lines of a chat come from.
class LineInput {
 public:
  virtual ~LineInput() = default;
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;

  /// The next entry. A line that ends with a backslash goes on with the next one. Errors: bad_file
  /// where standard input cannot be read; text that is not UTF-8 has U+FFFD in its place.
  virtual InputLine read() = 0;

 protected:
  LineInput() = default;
};

/// Whether this build can edit lines.
bool can_edit_lines();

/// With editing, history and pasted lines kept together, where standard input and standard error
/// are a terminal that takes escapes, and this build has libedit; otherwise whole lines as they
/// come. Prompts go to standard error, where standard input is a terminal. `interrupt`: what Ctrl-C
/// sets, or null where it ends the program.
std::unique_ptr<LineInput> make_line_input(InterruptFlag* interrupt);

}  // namespace quern::tools
