#include "tokenizer/models/merge_rules.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace quern {
namespace {

constexpr std::size_t kShort = 32;

/// For short words: all pairs' ranks in an array, the lowest found by looking at all of them.
void merge_short(const MergeRules& rules, const std::int32_t* symbols, std::size_t size,
                 std::vector<std::int32_t>& ids) {
  std::array<std::int32_t, kShort> id;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  std::array<std::int32_t, kShort> rank;
  std::array<std::int32_t, kShort> result;
  const auto look_up = [&](std::size_t i) {
    const MergeRules::Rule* rule = i + 1 < size ? rules.find(id[i], id[i + 1]) : nullptr;
    rank[i] = rule == nullptr ? MergeRules::kNoRank : rule->rank;
    if (rule != nullptr) result[i] = rule->result;
  };
  std::copy_n(symbols, size, id.begin());
  for (std::size_t i = 0; i < size; ++i) look_up(i);
  while (size > 1) {
    const auto lowest =
        std::min_element(rank.begin(), rank.begin() + static_cast<std::ptrdiff_t>(size));
    if (*lowest == MergeRules::kNoRank) break;
    const auto at = static_cast<std::size_t>(lowest - rank.begin());
    id[at] = result[at];
    for (std::size_t i = at + 1; i + 1 < size; ++i) {
      id[i] = id[i + 1];
      rank[i] = rank[i + 1];
      result[i] = result[i + 1];
    }
    --size;
    look_up(at);
    if (at > 0) look_up(at - 1);
  }
  ids.insert(ids.end(), id.begin(), id.begin() + static_cast<std::ptrdiff_t>(size));
}

/// A linked list of symbols and a heap of the pairs that have rules. A pair of the heap may be gone
/// when its turn comes; it then has no rule of that rank.
class Merger {
 public:
  Merger(const MergeRules& rules, MergeScratch& scratch)
      : rules_(rules), symbols_(scratch.symbols), candidates_(scratch.candidates) {}

  void run(const std::int32_t* ids, std::int32_t size) {
    symbols_.clear();
    candidates_.clear();
    for (std::int32_t i = 0; i < size; ++i) {
      symbols_.push_back({ids[i], i - 1, i + 1 < size ? i + 1 : -1});
    }
    for (std::int32_t i = 0; i < size; ++i) add_candidate(i, false);
    std::make_heap(candidates_.begin(), candidates_.end(), std::greater<>());
    while (!candidates_.empty()) {
      std::pop_heap(candidates_.begin(), candidates_.end(), std::greater<>());
      const std::uint64_t top = candidates_.back();
      candidates_.pop_back();
      merge(static_cast<std::int32_t>(top & 0xFFFFFFFFu), static_cast<std::int32_t>(top >> 32));
    }
  }

 private:
  void merge(std::int32_t position, std::int32_t rank) {
    MergeScratch::Symbol& left = symbols_[static_cast<std::size_t>(position)];
    if (left.id < 0 || left.next < 0) return;
    MergeScratch::Symbol& right = symbols_[static_cast<std::size_t>(left.next)];
    const MergeRules::Rule* rule = rules_.find(left.id, right.id);
    if (rule == nullptr || rule->rank != rank) return;
    left.id = rule->result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols_[static_cast<std::size_t>(left.next)].previous = position;
    if (left.previous >= 0) add_candidate(left.previous, true);
    add_candidate(position, true);
  }

  void add_candidate(std::int32_t position, bool is_heap) {
    const MergeScratch::Symbol& left = symbols_[static_cast<std::size_t>(position)];
    if (left.next < 0) return;
    const MergeRules::Rule* rule =
        rules_.find(left.id, symbols_[static_cast<std::size_t>(left.next)].id);
    if (rule == nullptr) return;
    candidates_.push_back(static_cast<std::uint64_t>(rule->rank) << 32 |
                          static_cast<std::uint32_t>(position));
    if (is_heap) std::push_heap(candidates_.begin(), candidates_.end(), std::greater<>());
  }

  const MergeRules& rules_;
  std::vector<MergeScratch::Symbol>& symbols_;
  std::vector<std::uint64_t>& candidates_;
};

// A pair is left alone because of what stands to its right only where the next pair goes first,
// which has a lower rank, and so on: what a symbol becomes is decided by a chain of pairs with
// falling ranks to its right. Chains of thousands of pairs do not occur; so the first kWindow
// symbols are right when kMargin more have been seen, and the next window begins at the token's
// end.
constexpr std::size_t kWindow = std::size_t{1} << 20;
constexpr std::size_t kMargin = std::size_t{1} << 16;

}  // namespace

MergeRules::MergeRules(std::size_t max_rules)
    : rules_(std::bit_ceil(max_rules + max_rules / 2 + 2)), mask_(rules_.size() - 1) {}

void merge_symbols(const MergeRules& rules, const FillSymbols& fill, MergeScratch& scratch,
                   std::vector<std::int32_t>& ids) {
  std::vector<std::int32_t>& symbols = scratch.initial;
  symbols.clear();
  while (true) {
    fill(symbols, kWindow + kMargin);
    if (symbols.empty()) return;
    if (symbols.size() <= kShort) return merge_short(rules, symbols.data(), symbols.size(), ids);
    const bool is_last = symbols.size() < kWindow + kMargin;
    Merger(rules, scratch).run(symbols.data(), static_cast<std::int32_t>(symbols.size()));
    std::int32_t at = 0;
    while (at >= 0 && (is_last || static_cast<std::size_t>(at) < kWindow)) {
      ids.push_back(scratch.symbols[static_cast<std::size_t>(at)].id);
      at = scratch.symbols[static_cast<std::size_t>(at)].next;
    }
    if (at < 0) return;
    symbols.erase(symbols.begin(), symbols.begin() + at);
  }
}

}  // namespace quern
