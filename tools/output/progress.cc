#include "tools/output/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "tools/output/console.h"

namespace quern::tools {

void ProgressBar::add_tokens(std::size_t count) {
  tokens_ += count;
  draw();
}

void ProgressBar::add_finished(std::size_t count) {
  finished_ += count;
  draw();
}

void ProgressBar::set(std::size_t finished, std::size_t total) {
  finished_ = finished;
  total_ = total;
  draw();
}

void ProgressBar::draw() {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  if (shown_ && now - drawn_at_ < std::chrono::milliseconds(100)) return;
  constexpr std::size_t kBarWidth = 30;
  const std::size_t filled = kBarWidth * finished_ / std::max<std::size_t>(total_, 1);
  std::string line = fmt::format("\r\x1b[K[{}{}] {}/{} {}", std::string(filled, '#'),
                                 std::string(kBarWidth - filled, '.'), finished_, total_, unit_);
  if (tokens_ > 0) line += fmt::format(", {} tokens", tokens_);
  write_stderr(line);
  shown_ = true;
  drawn_at_ = now;
}

void ProgressBar::clear() noexcept {
  if (!shown_) return;
  write_stderr("\r\x1b[K");
  shown_ = false;
}

}  // namespace quern::tools
