#include "tokenizer/bpe/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/check.h"

namespace quern {
namespace {

/// Puts the lowest rank on top of the heap, the leftmost of equals.
bool comes_later(const Bpe::Candidate& a, const Bpe::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

Bpe::Bpe(std::size_t max_rules, const ByteIds& byte_ids) : byte_ids_(byte_ids) {
  const std::size_t num_places = std::bit_ceil(max_rules + max_rules / 2 + 2);
  rules_.resize(num_places, {kFree, kFree, 0, 0});
  hash_shift_ = 64 - std::countr_zero(num_places);
}

bool Bpe::add(const Rule& rule) {
  Rule& place = rules_[find(rule.left, rule.right)];
  if (place.left != kFree) return false;
  place = rule;
  return true;
}

std::size_t Bpe::find(std::int32_t left, std::int32_t right) const {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15u;
  const std::uint64_t key =
      static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  std::size_t at = key * kGolden >> hash_shift_;
  while (rules_[at].left != kFree && (rules_[at].left != left || rules_[at].right != right)) {
    at = (at + 1) & (rules_.size() - 1);
  }
  return at;
}

void Bpe::push_candidate(std::int32_t left_position, Scratch& scratch) const {
  if (left_position < 0) return;
  const Symbol& left = scratch.symbols[left_position];
  if (left.next < 0) return;
  const Rule& rule = rules_[find(left.id, scratch.symbols[left.next].id)];
  if (rule.left != kFree) scratch.candidates.push_back({rule.rank, left_position, rule.result});
}

void Bpe::encode(std::string_view bytes, Scratch& scratch, std::vector<std::int32_t>& ids) const {
  QUERN_CHECK(bytes.size() < std::numeric_limits<std::int32_t>::max());
  const auto size = static_cast<std::int32_t>(bytes.size());
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<Candidate>& candidates = scratch.candidates;
  symbols.clear();
  candidates.clear();
  for (std::int32_t i = 0; i < size; ++i) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(bytes[i])];
    QUERN_CHECK(id >= 0, "byte {:#04x} has no token", static_cast<unsigned char>(bytes[i]));
    symbols.push_back({id, i - 1, i + 1 < size ? i + 1 : -1});
  }
  for (std::int32_t i = 0; i < size; ++i) push_candidate(i, scratch);
  std::make_heap(candidates.begin(), candidates.end(), comes_later);

  const auto push = [&](std::int32_t left_position) {
    const std::size_t before = candidates.size();
    push_candidate(left_position, scratch);
    if (candidates.size() != before) {
      std::push_heap(candidates.begin(), candidates.end(), comes_later);
    }
  };
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), comes_later);
    const Candidate top = candidates.back();
    candidates.pop_back();
    Symbol& left = symbols[top.position];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const Rule& rule = rules_[find(left.id, right.id)];
    // The neighbours may have changed since. A pair that now makes the same token goes at this
    // rank, as in Hugging Face's.
    if (rule.left == kFree || rule.result != top.result) continue;
    left.id = rule.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = top.position;
    push(left.previous);
    push(top.position);
  }
  for (std::int32_t i = 0; i >= 0 && i < size; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace quern
