#include "tokenizer/pretokenize/pretokenizer.h"

#include "tokenizer/models/byte_level.h"
#include "tokenizer/pretokenize/known_patterns.h"

namespace quern {
namespace {

void run(const PreTokenizerList& list, std::size_t step, std::string_view piece, bool at_start,
         MatchBudget& budget, const PreTokenizer::Sink& sink) {
  if (step + 1 == list.size()) return list[step]->split(piece, at_start, budget, sink);
  list[step]->split(piece, at_start, budget, [&](std::string_view part, bool part_at_start) {
    run(list, step + 1, part, part_at_start, budget, sink);
  });
}

/// Joins the parts that a pattern cuts a text into, and hands the pieces out.
class PieceJoiner {
 public:
  PieceJoiner(std::string_view text, bool at_start, SplitBehavior behavior,
              const PreTokenizer::Sink& sink)
      : text_(text), at_start_(at_start), behavior_(behavior), sink_(sink) {}

  void take(std::size_t begin, std::size_t end, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!is_match) give(begin, end);
        return;
      case SplitBehavior::isolated:
        return give(begin, end);
      case SplitBehavior::contiguous:
        return join(begin, end, is_match, is_match == held_is_match_);
      case SplitBehavior::merged_with_previous:
        return join(begin, end, is_match, is_match && !held_is_match_);
      case SplitBehavior::merged_with_next:
        return join(begin, end, is_match, !is_match && held_is_match_);
    }
  }

  void finish() {
    if (holds_) give(begin_, end_);
  }

 private:
  /// Holds the part back, with the one before if they belong together.
  void join(std::size_t begin, std::size_t end, bool is_match, bool joins) {
    if (holds_ && joins) {
      end_ = end;
    } else {
      finish();
      begin_ = begin;
      end_ = end;
    }
    holds_ = true;
    held_is_match_ = is_match;
  }

  void give(std::size_t begin, std::size_t end) {
    if (begin < end) sink_(text_.substr(begin, end - begin), at_start_ && begin == 0);
  }

  std::string_view text_;
  bool at_start_;
  SplitBehavior behavior_;
  const PreTokenizer::Sink& sink_;
  bool holds_ = false;
  bool held_is_match_ = false;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace

void split(const PreTokenizerList& list, std::string_view text, bool at_start, MatchBudget& budget,
           const PreTokenizer::Sink& sink) {
  if (text.empty()) return;
  if (list.empty()) return sink(text, at_start);
  run(list, 0, text, at_start, budget, sink);
}

void SplitPreTokenizer::split(std::string_view text, bool at_start, MatchBudget& budget,
                              const Sink& sink) const {
  PieceJoiner joiner(text, at_start, behavior_, sink);
  std::size_t done = 0;
  pattern_->find_matches(text, budget, [&](std::size_t begin, std::size_t end) {
    if (done < begin) joiner.take(done, begin, invert_);
    joiner.take(begin, end, !invert_);
    done = end;
  });
  if (done < text.size()) joiner.take(done, text.size(), invert_);
  joiner.finish();
}

ByteLevelPreTokenizer::ByteLevelPreTokenizer(bool add_prefix_space, bool use_regex, bool as_bytes)
    : add_prefix_space_(add_prefix_space), as_bytes_(as_bytes) {
  if (use_regex) pattern_ = find_known_pattern(kGpt2Pattern);
}

void ByteLevelPreTokenizer::split(std::string_view text, bool at_start, MatchBudget& budget,
                                  const Sink& sink) const {
  std::string prefixed;
  if (add_prefix_space_ && text.front() != ' ') {
    prefixed.reserve(text.size() + 1);
    prefixed.append(1, ' ').append(text);
    text = prefixed;
  }
  const auto give = [&](std::size_t begin, std::size_t end) {
    const std::string_view piece = text.substr(begin, end - begin);
    if (as_bytes_) {
      sink(piece, at_start && begin == 0);
    } else {
      sink(symbols_from_bytes(piece), at_start && begin == 0);
    }
  };
  if (pattern_ == nullptr) return give(0, text.size());
  pattern_->find_matches(text, budget, give);
}

void MetaspacePreTokenizer::split(std::string_view text, bool at_start, MatchBudget& budget,
                                  const Sink& sink) const {
  std::string replaced;
  replaced.reserve(text.size() + replacement_.size());
  const bool prepends = prepend_ == Prepend::always || (prepend_ == Prepend::first && at_start);
  if (prepends && text.front() != ' ' && !text.starts_with(replacement_)) replaced = replacement_;
  for (const char c : text) {
    if (c == ' ') {
      replaced += replacement_;
    } else {
      replaced += c;
    }
  }
  if (!split_) return sink(replaced, at_start);
  PieceJoiner joiner(replaced, at_start, SplitBehavior::merged_with_next, sink);
  std::size_t done = 0;
  LiteralPattern(replacement_)
      .find_matches(replaced, budget, [&](std::size_t begin, std::size_t end) {
        if (done < begin) joiner.take(done, begin, false);
        joiner.take(begin, end, true);
        done = end;
      });
  if (done < replaced.size()) joiner.take(done, replaced.size(), false);
  joiner.finish();
}

}  // namespace quern
