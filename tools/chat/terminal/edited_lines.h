#pragma once

#include <memory>

#include "tools/chat/terminal/line_input.h"

namespace quern::tools {

inline constexpr const char* kChatPrompt = "> ";
inline constexpr const char* kContinuedPrompt = ". ";

/// Lines edited with libedit, or nothing where this build lacks it or the terminal cannot be used.
std::unique_ptr<LineInput> make_edited_lines(InterruptFlag& interrupt);

/// Takes a backslash off the end; false where there is none.
bool take_continuation(std::string& line);

}  // namespace quern::tools
