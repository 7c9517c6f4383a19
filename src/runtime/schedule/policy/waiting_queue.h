#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "runtime/schedule/sequence.h"

namespace quern {

/// The order of waiting sequences. A lower priority value goes first, and of equal ones the earlier
/// arrival. So that nobody starves, every kAgingInterval-th turn is the oldest's, whatever its
/// priority: with w older ones a sequence waits for at most (w + 1) * kAgingInterval admissions.
/// One that got its turn in this way goes before all priorities from then on, so that it is not
/// preempted for them.
///
/// A turn is one admission. Nobody overtakes the one whose turn it is, however much memory it
/// needs; only a higher priority that arrives may take a turn that is not the oldest's.
class WaitingQueue {
 public:
  static constexpr int kAgingInterval = 8;

  /// Adds a new sequence, or one that was preempted, which keeps its arrival.
  void add(std::unique_ptr<Sequence> sequence);
  /// Whose turn it is; null if nobody waits.
  Sequence* next() const;
  /// Takes out next(), which is admitted.
  std::unique_ptr<Sequence> pop();
  /// Takes out those for which `is_wanted` holds, in the order of arrival.
  template <typename Predicate>
  std::vector<std::unique_ptr<Sequence>> take_if(const Predicate& is_wanted);

  /// In the order of arrival.
  const std::deque<std::unique_ptr<Sequence>>& sequences() const { return sequences_; }
  bool empty() const { return sequences_.empty(); }
  void clear();

 private:
  std::size_t next_index() const;
  bool is_oldest_turn() const { return turns_ % kAgingInterval == kAgingInterval - 1; }

  std::deque<std::unique_ptr<Sequence>> sequences_;
  std::int64_t num_arrivals_ = 0;
  std::int64_t turns_ = 0;
  mutable std::size_t next_ = kUnknown;  ///< remembered: it is asked for many times a step
  static constexpr std::size_t kUnknown = static_cast<std::size_t>(-1);
};

/// Whether `a` goes before `b`, waiting or running.
bool goes_before(const Sequence& a, const Sequence& b);

template <typename Predicate>
std::vector<std::unique_ptr<Sequence>> WaitingQueue::take_if(const Predicate& is_wanted) {
  std::vector<std::unique_ptr<Sequence>> taken;
  for (auto& sequence : sequences_) {
    if (is_wanted(*sequence)) taken.push_back(std::move(sequence));
  }
  if (taken.empty()) return taken;
  std::erase(sequences_, nullptr);
  next_ = kUnknown;
  return taken;
}

}  // namespace quern
