#include "tools/quality/rouge/common_subsequence.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace quern::tools::rouge {
namespace {

constexpr std::size_t kBits = 64;

/// A row of the table of common lengths, L(i, ·) for the first i words of a: bit j is clear where
/// L(i, j + 1) = L(i, j) + 1. Source: Hyyrö, "Bit-parallel LCS-length computation revisited", 2004.
using Row = std::vector<std::uint64_t>;

bool grows(const Row& row, std::size_t j) { return (row[j / kBits] >> j % kBits & 1) == 0; }

/// L(i, j).
std::size_t length_at(const Row& row, std::size_t j) {
  std::size_t num_set = 0;
  for (std::size_t k = 0; k < j / kBits; ++k) {
    num_set += static_cast<std::size_t>(std::popcount(row[k]));
  }
  if (j % kBits != 0) {
    num_set += static_cast<std::size_t>(std::popcount(row[j / kBits] << (kBits - j % kBits)));
  }
  return j - num_set;
}

/// Goes from row to row. Words that make up a 64th of b have a mask of their own, so that a row
/// costs |b| / 64 steps whatever the words.
class RowStepper {
 public:
  explicit RowStepper(Words b) : size_(b.size()), positions_(b.size()), scratch_(num_blocks()) {
    std::iota(positions_.begin(), positions_.end(), std::size_t{0});
    std::stable_sort(positions_.begin(), positions_.end(),
                     [&](std::size_t x, std::size_t y) { return b[x] < b[y]; });
    for (std::size_t first = 0; first < size_;) {
      std::size_t last = first;
      while (last < size_ && b[positions_[last]] == b[positions_[first]]) ++last;
      Occurrences word{b[positions_[first]], first, last, {}};
      if ((last - first) * kBits >= size_) {
        word.mask.resize(num_blocks());
        set(word, word.mask);
      }
      words_.push_back(std::move(word));
      first = last;
    }
  }

  Row first_row() const { return Row(num_blocks(), ~std::uint64_t{0}); }

  void step(std::int32_t word, Row& row) {
    const auto it = std::lower_bound(
        words_.begin(), words_.end(), word,
        [](const Occurrences& known, std::int32_t value) { return known.word < value; });
    if (it == words_.end() || it->word != word) return;
    if (!it->mask.empty()) return step_over(it->mask, row);
    set(*it, scratch_);
    step_over(scratch_, row);
    for (std::size_t i = it->first; i < it->last; ++i) scratch_[positions_[i] / kBits] = 0;
  }

 private:
  struct Occurrences {
    std::int32_t word;
    std::size_t first;  // of positions_
    std::size_t last;
    Row mask;  // empty for rare words
  };

  std::size_t num_blocks() const { return (size_ + kBits - 1) / kBits; }

  void set(const Occurrences& word, Row& mask) const {
    for (std::size_t i = word.first; i < word.last; ++i) {
      mask[positions_[i] / kBits] |= std::uint64_t{1} << positions_[i] % kBits;
    }
  }

  static void step_over(const Row& mask, Row& row) {
    std::uint64_t carry = 0;
    for (std::size_t k = 0; k < row.size(); ++k) {
      const std::uint64_t matches = row[k] & mask[k];
      const std::uint64_t partial = row[k] + matches;
      const std::uint64_t sum = partial + carry;
      carry =
          static_cast<std::uint64_t>(partial < matches) | static_cast<std::uint64_t>(sum < carry);
      row[k] = sum | (row[k] & ~mask[k]);
    }
  }

  std::size_t size_;
  std::vector<std::size_t> positions_;  // by word
  std::vector<Occurrences> words_;
  Row scratch_;
};

/// Goes back from the last corner of the table. Few rows are kept: those in between are computed
/// again from the nearest one that is, level by level.
class WayBack {
 public:
  WayBack(Words reference, Words prediction, std::vector<bool>& marks)
      : reference_(reference),
        prediction_(prediction),
        marks_(marks),
        stepper_(prediction),
        column_(prediction.size()) {}

  void go() { go_through(0, reference_.size(), stepper_.first_row()); }

 private:
  static constexpr std::size_t kRowsKept = 64;  // of each level

  /// Through the rows of the words [first, last) of the reference, from behind; `row` is the one
  /// before them.
  void go_through(std::size_t first, std::size_t last, Row row) {
    const std::size_t stride = (last - first + kRowsKept - 1) / kRowsKept;
    std::vector<Row> rows = {row};
    for (std::size_t i = first; i < last; ++i) {
      stepper_.step(reference_[i], row);
      if ((i + 1 - first) % stride == 0 || i + 1 == last) rows.push_back(row);
    }
    for (std::size_t k = rows.size() - 1; k > 0 && column_ > 0; --k) {
      const std::size_t begin = first + (k - 1) * stride;
      if (stride == 1) {
        cross(begin, rows[k - 1], rows[k]);
      } else {
        go_through(begin, std::min(begin + stride, last), rows[k - 1]);
      }
    }
  }

  /// Leaves the row of word i for the one above.
  void cross(std::size_t i, const Row& above, const Row& row) {
    std::size_t length = length_at(row, column_);
    std::size_t length_above = length_at(above, column_);
    for (; column_ > 0; --column_) {
      const std::size_t j = column_ - 1;
      if (reference_[i] == prediction_[j]) {
        marks_[i] = true;
        column_ = j;
        return;
      }
      // Of unlike words the left neighbour is the larger one where the length grew from above.
      if (length == length_above) return;
      length -= grows(row, j) ? 1 : 0;
      length_above -= grows(above, j) ? 1 : 0;
    }
  }

  Words reference_;
  Words prediction_;
  std::vector<bool>& marks_;
  RowStepper stepper_;
  std::size_t column_;
};

}  // namespace

std::size_t common_length(Words a, Words b) {
  RowStepper stepper(b);
  Row row = stepper.first_row();
  for (const std::int32_t word : a) stepper.step(word, row);
  return length_at(row, b.size());
}

void mark_common(Words reference, Words prediction, std::vector<bool>& marks) {
  if (reference.empty() || prediction.empty()) return;
  WayBack(reference, prediction, marks).go();
}

}  // namespace quern::tools::rouge
