#pragma once

#include <chrono>
#include <cstddef>

namespace quern::tools {

/// A bar on standard error, "[####......] 4/10 prompts, 512 tokens", with another unit if wanted,
/// rewritten at most ten times a second. Nothing at all unless enabled.
class ProgressBar {
 public:
  ProgressBar(std::size_t total, bool enabled, const char* unit = "prompts")
      : total_(total), enabled_(enabled), unit_(unit) {}
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void add_tokens(std::size_t count);
  void add_finished(std::size_t count = 1);
  /// So many of so many are done, where nobody knew how many there would be.
  void set(std::size_t finished, std::size_t total);
  /// Takes the bar off the screen, so that something else can be written there.
  void clear() noexcept;

 private:
  void draw();

  std::size_t total_;
  bool enabled_;
  const char* unit_;
  std::size_t finished_ = 0;
  std::size_t tokens_ = 0;
  bool shown_ = false;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace quern::tools
