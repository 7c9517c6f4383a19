#include "tokenizer/unicode/normal_forms.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/tables.h"

namespace quern {
namespace {

using namespace unicode_tables;  // NOLINT(google-build-using-namespace)

// Hangul syllables are computed. Source: the Unicode Standard, section 3.12.
constexpr char32_t kSBase = 0xAC00;
constexpr char32_t kLBase = 0x1100;
constexpr char32_t kVBase = 0x1161;
constexpr char32_t kTBase = 0x11A7;
constexpr char32_t kLCount = 19;
constexpr char32_t kVCount = 21;
constexpr char32_t kTCount = 28;
constexpr char32_t kSCount = kLCount * kVCount * kTCount;

struct Mark {
  char32_t code_point;
  std::uint8_t combining_class;
};

/// The row of the full decomposition, or null.
const Decomposition* find_decomposition(char32_t c, bool compatible) {
  const Decomposition* row = std::lower_bound(
      std::begin(kDecompositions), std::end(kDecompositions), c,
      [](const Decomposition& entry, char32_t value) { return entry.code_point < value; });
  const Decomposition* found = nullptr;
  for (; row != std::end(kDecompositions) && row->code_point == c; ++row) {
    if (row->compatible == 0 || compatible) found = row;  // the compatible one stands behind
  }
  return found;
}

template <typename Knows, typename Take>
void decompose(char32_t c, bool compatible, const Knows& knows, const Take& take) {
  if (c >= kSBase && c < kSBase + kSCount) {
    const char32_t index = c - kSBase;
    take(kLBase + index / (kVCount * kTCount));
    take(kVBase + index % (kVCount * kTCount) / kTCount);
    if (index % kTCount != 0) take(kTBase + index % kTCount);
    return;
  }
  const Decomposition* row = c < 0xA0 ? nullptr : find_decomposition(c, compatible);
  if (row == nullptr || !knows(c)) return take(c);
  for (std::size_t i = 0; i < row->length; ++i) take(kDecomposed[row->begin + i]);
}

/// The primary composite of two characters, or 0.
char32_t compose(char32_t first, char32_t second) {
  if (first >= kLBase && first < kLBase + kLCount && second >= kVBase &&
      second < kVBase + kVCount) {
    return kSBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
  }
  if (first >= kSBase && first < kSBase + kSCount && (first - kSBase) % kTCount == 0 &&
      second > kTBase && second < kTBase + kTCount) {
    return first + (second - kTBase);
  }
  const auto* row = std::lower_bound(
      std::begin(kCompositions), std::end(kCompositions), 0, [&](const Composition& entry, int) {
        return entry.first != first ? entry.first < first : entry.second < second;
      });
  const bool found = row != std::end(kCompositions) && row->first == first && row->second == second;
  return found ? row->composed : 0;
}

/// Writes a starter and the marks behind it, composed if asked, in canonical order.
class Segment {
 public:
  Segment(bool composes, NormalFormVersion version, std::string& out)
      : composes_(composes), version_(version), out_(out) {}

  bool knows(char32_t c) const {
    return version_ == NormalFormVersion::current || !is_newer_than_normal_forms_9(c);
  }

  void take(char32_t c) {
    const std::uint8_t combining_class = combining_class_of(c);
    if (combining_class != 0 && knows(c)) {
      characters_.push_back({c, combining_class});
      return;
    }
    // A starter composes with the one before only when no mark is left between.
    sort_and_compose();
    if (composes_ && characters_.size() == 1 && characters_[0].combining_class == 0) {
      if (const char32_t composed = composite(characters_[0].code_point, c); composed != 0) {
        characters_[0].code_point = composed;
        return;
      }
    }
    write();
    characters_.push_back({c, 0});
  }

  void finish() {
    sort_and_compose();
    write();
  }

 private:
  void sort_and_compose() {
    const std::size_t num_starters =
        !characters_.empty() && characters_[0].combining_class == 0 ? 1 : 0;
    std::stable_sort(
        characters_.begin() + static_cast<std::ptrdiff_t>(num_starters), characters_.end(),
        [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    if (!composes_ || num_starters == 0) return;
    std::size_t num_kept = 1;
    for (std::size_t i = 1; i < characters_.size(); ++i) {
      const bool is_blocked = num_kept > 1 && characters_[num_kept - 1].combining_class >=
                                                  characters_[i].combining_class;
      const char32_t composed =
          is_blocked ? 0 : composite(characters_[0].code_point, characters_[i].code_point);
      if (composed != 0) {
        characters_[0].code_point = composed;
      } else {
        characters_[num_kept++] = characters_[i];
      }
    }
    characters_.resize(num_kept);
  }

  void write() {
    for (const Mark& mark : characters_) append_utf8(mark.code_point, out_);
    characters_.clear();
  }

  /// The primary composite of two characters that this version knows, or 0.
  char32_t composite(char32_t first, char32_t second) const {
    const char32_t composed = compose(first, second);
    return composed != 0 && knows(composed) ? composed : 0;
  }

  bool composes_;
  NormalFormVersion version_;
  std::string& out_;
  std::vector<Mark> characters_;
};

}  // namespace

std::string to_normal_form(std::string_view text, NormalForm form, NormalFormVersion version) {
  if (is_ascii(text)) return std::string(text);
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  std::string out;
  out.reserve(text.size());
  Segment segment(form == NormalForm::nfc || form == NormalForm::nfkc, version, out);
  for_each_code_point(text, [&](char32_t c, std::size_t, std::size_t) {
    decompose(
        c, compatible, [&](char32_t newer) { return segment.knows(newer); },
        [&](char32_t part) { segment.take(part); });
  });
  segment.finish();
  return out;
}

}  // namespace quern
