#include "tools/quality/perplexity/windows.h"

#include <algorithm>

#include "tools/cli/fail.h"

namespace quern::tools {

std::vector<Window> sliding_windows(std::size_t num_tokens, const WindowSettings& settings) {
  if (settings.stride < 1 || settings.stride > settings.window) {
    fail(ErrorCode::internal, "windows: expected a stride from 1 to {}, got {}", settings.window,
         settings.stride);
  }
  std::vector<Window> windows;
  std::size_t scored_end = 0;
  for (std::size_t begin = 0; scored_end < num_tokens; begin += settings.stride) {
    const std::size_t end = std::min(begin + settings.window, num_tokens);
    windows.push_back({begin, end, std::max(scored_end, begin + 1)});
    scored_end = end;
  }
  return windows;
}

std::size_t count_scored(const std::vector<Window>& windows) {
  std::size_t count = 0;
  for (const Window& window : windows) count += window.num_scored();
  return count;
}

}  // namespace quern::tools
