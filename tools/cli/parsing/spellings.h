#pragma once

#include <string_view>

namespace quern::tools {

/// What another engine calls an option of ours, or one that Quern does without.
struct Spelling {
  std::string_view theirs;  ///< "--ctx-size", "-ngl"; with hyphens
  std::string_view ours;    ///< the option with the same meaning; empty: none has it
  std::string_view hint;    ///< what to use instead, where `ours` is empty
};

/// The entry for an option's name, with hyphens in place of underscores; null for names that no
/// other engine uses. Sources: the command lines of llama.cpp, vLLM, TensorRT-LLM's examples and
/// Hugging Face's.
const Spelling* find_spelling(std::string_view option);

}  // namespace quern::tools
