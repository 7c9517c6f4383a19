#include "tools/output/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tools/output/console.h"
#include "tools/output/interrupt.h"

namespace quern::tools {
namespace {

constexpr const char* kEraseLine = "\r\x1b[K";

}  // namespace

ProgressBar::ProgressBar(std::size_t total, bool enabled, const char* unit)
    : total_(total), enabled_(enabled), rewrites_(takes_escapes(kStderr)), unit_(unit) {
  draw();
}

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

void ProgressBar::set_detail(std::string detail) {
  detail_ = std::move(detail);
  draw();
}

std::string ProgressBar::line() const {
  constexpr std::size_t kBarWidth = 30;
  const std::size_t filled =
      std::min(kBarWidth, kBarWidth * finished_ / std::max<std::size_t>(total_, 1));
  std::string line = fmt::format("[{}{}] {}/{} {}", std::string(filled, '#'),
                                 std::string(kBarWidth - filled, '.'), finished_, total_, unit_);
  if (tokens_ > 0) line += fmt::format(", {} tokens", tokens_);
  if (!detail_.empty()) line += ", " + detail_;
  return line;
}

void ProgressBar::draw() {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  const auto interval = std::chrono::milliseconds(rewrites_ ? 100 : 2000);
  // A line that stays is not repeated for being cleared in between.
  const bool drawn = rewrites_ ? shown_ : drawn_at_ != std::chrono::steady_clock::time_point();
  if (drawn && now - drawn_at_ < interval) return;
  if (rewrites_) {
    set_last_words(kEraseLine);
    write_stderr(kEraseLine + line());
  } else {
    write_stderr(line() + '\n');
  }
  shown_ = true;
  drawn_at_ = now;
}

void ProgressBar::clear() noexcept {
  if (!shown_) return;
  if (rewrites_) {
    write_stderr(kEraseLine);
    set_last_words(nullptr);
  }
  shown_ = false;
}

}  // namespace quern::tools
