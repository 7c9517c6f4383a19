#include "runtime/schedule/policy/waiting_queue.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace quern {
namespace {

std::tuple<int, std::int64_t> rank(const Sequence& sequence) {
  const int priority = sequence.is_aged ? std::numeric_limits<int>::min() : sequence.priority;
  return {priority, sequence.arrival};
}

}  // namespace

bool goes_before(const Sequence& a, const Sequence& b) { return rank(a) < rank(b); }

void WaitingQueue::add(std::unique_ptr<Sequence> sequence) {
  if (sequence->arrival < 0) sequence->arrival = num_arrivals_++;
  // Mostly the end.
  const auto place = std::find_if(sequences_.rbegin(), sequences_.rend(), [&](const auto& other) {
    return other->arrival < sequence->arrival;
  });
  const std::size_t next = next_;
  const bool precedes = next != kUnknown && goes_before(*sequence, *sequences_[next]);
  const bool at_end = place == sequences_.rbegin();
  sequences_.insert(place.base(), std::move(sequence));
  next_ = at_end && !precedes ? next : kUnknown;
}

std::size_t WaitingQueue::next_index() const {
  if (next_ != kUnknown) return next_;
  const auto first = is_oldest_turn()
                         ? sequences_.begin()
                         : std::ranges::min_element(sequences_, [](const auto& a, const auto& b) {
                             return goes_before(*a, *b);
                           });
  return next_ = static_cast<std::size_t>(first - sequences_.begin());
}

Sequence* WaitingQueue::next() const {
  return sequences_.empty() ? nullptr : sequences_[next_index()].get();
}

std::unique_ptr<Sequence> WaitingQueue::pop() {
  QUERN_CHECK(!sequences_.empty());
  const std::size_t index = next_index();
  std::unique_ptr<Sequence> sequence = std::move(sequences_[index]);
  sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(index));
  // Where priorities are equal the oldest's turn is like any other.
  const auto precedes = [&](const auto& other) { return other->priority < sequence->priority; };
  if (is_oldest_turn() && std::ranges::any_of(sequences_, precedes)) sequence->is_aged = true;
  ++turns_;
  next_ = kUnknown;
  return sequence;
}

void WaitingQueue::clear() {
  sequences_.clear();
  next_ = kUnknown;
}

}  // namespace quern
