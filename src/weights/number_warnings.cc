#include "weights/number_warnings.h"

#include <fmt/ranges.h>

#include <utility>

#include "base/log.h"

namespace quern {

void NumberWarnings::add(Kind& kind, std::string place, const std::string& name,
                         std::string trouble, Count count) {
  constexpr std::size_t kMaxShown = 3;
  if (count.bad <= 0) return;
  if (kind.num_tensors == 0) {
    kind.first = fmt::format("{}: {} of {} numbers {}", place, count.bad, count.all, trouble);
    kind.trouble = std::move(trouble);
  }
  if (++kind.num_tensors <= kMaxShown) {
    kind.shown.push_back(fmt::format("{} ({} of {})", name, count.bad, count.all));
  }
}

void NumberWarnings::add_nonfinite(const std::string& file, const std::string& tensor,
                                   Count count) {
  add(nonfinite_, fmt::format("{}: tensor {}", file, tensor), tensor, "are not finite", count);
}

void NumberWarnings::add_beyond_float32(const std::string& file, const std::string& tensor,
                                        Count count) {
  add(beyond_float32_, fmt::format("{}: tensor {}", file, tensor), tensor,
      "are too large for float32", count);
}

void NumberWarnings::add_overflow(const std::string& weight, const std::string& format,
                                  Count count) {
  add(overflow_, weight, weight, fmt::format("are too large for {} and become infinite", format),
      count);
}

void NumberWarnings::log_kind(const Kind& kind, const std::string& model) {
  if (kind.num_tensors == 0) return;
  if (kind.num_tensors == 1) return log_message(LogLevel::warning, kind.first);
  log(LogLevel::warning, "{}: {} tensors have numbers that {}: {}{}", model, kind.num_tensors,
      kind.trouble, fmt::join(kind.shown, ", "), kind.num_tensors > kind.shown.size() ? ", …" : "");
}

void NumberWarnings::log_all(const std::string& model) const {
  log_kind(nonfinite_, model);
  log_kind(beyond_float32_, model);
  log_kind(overflow_, model);
}

}  // namespace quern
