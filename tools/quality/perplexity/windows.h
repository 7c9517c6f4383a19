#pragma once

#include <cstddef>
#include <vector>

namespace quern::tools {

/// How a text longer than the context is judged: a model sees `window` tokens at once, each
/// `stride` tokens further on.
struct WindowSettings {
  std::size_t window = 0;
  std::size_t stride = 0;  ///< in [1, window]
};

/// Tokens [begin, end) are seen at once; of these [first_scored, end) are judged by what stands
/// before them in the window.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t first_scored = 0;
  std::size_t num_scored() const { return end - first_scored; }
};

/// The windows over a text of num_tokens. Every token but the text's first is judged once; with
/// stride = window the first of each window has nothing before it and is not.
/// Source: https://huggingface.co/docs/transformers/perplexity
std::vector<Window> sliding_windows(std::size_t num_tokens, const WindowSettings& settings);

/// How many tokens the windows judge together.
std::size_t count_scored(const std::vector<Window>& windows);

}  // namespace quern::tools
