#include "tools/output/load_progress.h"

#include <memory>

#include "tools/output/console.h"
#include "tools/output/progress.h"

namespace quern::tools {
namespace {

constexpr std::uint64_t kMebi = 1 << 20;
/// Smaller models load before a bar could be read.
constexpr std::uint64_t kWorthABar = 64 * kMebi;

}  // namespace

bool shows_progress(const OutputOptions& output) { return !output.quiet && is_terminal(kStderr); }

LoadCallback load_progress(const OutputOptions& output, const InterruptScope* interrupt) {
  const bool visible = shows_progress(output);
  const auto bar = std::make_shared<std::unique_ptr<ProgressBar>>();
  return [=](const LoadProgress& progress) {
    if (interrupt != nullptr && interrupt->requested()) {
      bar->reset();
      throw InterruptedError();
    }
    if (!visible || progress.total_bytes < kWorthABar) return;
    const std::size_t total = progress.total_bytes / kMebi;
    if (progress.done_bytes == progress.total_bytes) {
      bar->reset();
    } else if (!*bar) {
      *bar = std::make_unique<ProgressBar>(total, true, "MiB of weights");
    } else {
      (*bar)->set(progress.done_bytes / kMebi, total);
    }
  };
}

}  // namespace quern::tools
