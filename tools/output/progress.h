#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace quern::tools {

/// A bar on standard error, "[####......] 4/10 prompts, 512 tokens", with another unit if wanted,
/// rewritten at most ten times a second; on a dumb terminal a line every two seconds. Shown from
/// the start. Nothing at all unless enabled.
class ProgressBar {
 public:
  ProgressBar(std::size_t total, bool enabled, const char* unit = "prompts");
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void add_tokens(std::size_t count);
  void add_finished(std::size_t count = 1);
  /// Reports progress when the total is only known late.
  void set(std::size_t finished, std::size_t total);
  /// What is going on, shown behind the numbers: "batch 8, 128,20: run 3".
  void set_detail(std::string detail);
  /// Takes the bar off the screen, so that something else can be written there.
  void clear() noexcept;

 private:
  void draw();
  std::string line() const;

  std::size_t total_;
  bool enabled_;
  bool rewrites_;  ///< the terminal understands escape sequences
  const char* unit_;
  std::string detail_;
  std::size_t finished_ = 0;
  std::size_t tokens_ = 0;
  bool shown_ = false;
  std::chrono::steady_clock::time_point drawn_at_;
};

}  // namespace quern::tools
