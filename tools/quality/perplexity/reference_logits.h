#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/safetensors.h"
#include "tools/quality/perplexity/windows.h"

namespace quern::tools {

/// A text to be judged and how: what two sets of logits must agree on to be comparable.
struct JudgedText {
  std::vector<std::int32_t> ids;
  WindowSettings settings;
  int vocab_size = 0;
};

/// Where the logits that others are held against come from.
class ReferenceLogits {
 public:
  virtual ~ReferenceLogits() = default;
  ReferenceLogits(const ReferenceLogits&) = delete;
  ReferenceLogits& operator=(const ReferenceLogits&) = delete;

  /// The logits of a window's judged tokens, [num_scored, vocab_size], until the next call. Windows
  /// are asked for in their order, each once.
  virtual std::span<const float> rows(const Window& window) = 0;
  /// "cpu-float32", or a file's name.
  virtual std::string name() const = 0;

 protected:
  ReferenceLogits() = default;
};

/// Another engine's, computed as they are needed. `text` must outlive it. Errors: Engine::load's;
/// invalid_argument when its vocabulary has another size.
std::unique_ptr<ReferenceLogits> engine_logits(const std::string& model,
                                               const EngineOptions& options,
                                               const JudgedText& text);

/// Those of a file that LogitsWriter or tools/hf_reference.py wrote. Errors: not_found; bad_file
/// when it was written for another text, other windows or another vocabulary.
std::unique_ptr<ReferenceLogits> saved_logits(const std::filesystem::path& path,
                                              const JudgedText& text);

/// Writes the logits of all windows to a safetensors file: token_ids [n] and window_and_stride [2]
/// as I32, logits [number of judged tokens, vocab_size] as F32.
class LogitsWriter {
 public:
  LogitsWriter(const std::filesystem::path& path, const JudgedText& text);
  void add(std::span<const float> rows) { stream_.write(std::as_bytes(rows)); }
  void finish() { stream_.finish(); }

 private:
  SafetensorsStream stream_;
};

}  // namespace quern::tools
