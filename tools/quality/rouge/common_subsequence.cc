#include "tools/quality/rouge/common_subsequence.h"

#include <algorithm>
#include <utility>

namespace quern::tools::rouge {
namespace {

/// Fills the table of common lengths of all prefixes row by row and calls visit(i, j, left, above)
/// for each pair of unlike words; returns the last corner. Only two rows are ever kept.
template <typename Visit>
std::size_t fill_lengths(Words a, Words b, const Visit& visit) {
  std::vector<std::int32_t> above(b.size() + 1, 0);
  std::vector<std::int32_t> row(b.size() + 1, 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) {
      if (a[i] == b[j]) {
        row[j + 1] = above[j] + 1;
      } else {
        visit(i, j, row[j], above[j + 1]);
        row[j + 1] = std::max(row[j], above[j + 1]);
      }
    }
    std::swap(above, row);
  }
  return static_cast<std::size_t>(above.back());
}

}  // namespace

std::size_t common_length(Words a, Words b) {
  return fill_lengths(a, b, [](std::size_t, std::size_t, std::int32_t, std::int32_t) {});
}

void mark_common(Words reference, Words prediction, std::vector<bool>& marks) {
  // The way back needs one bit of each cell: whether the left one is the larger neighbour.
  std::vector<bool> goes_left(reference.size() * prediction.size());
  fill_lengths(reference, prediction,
               [&](std::size_t i, std::size_t j, std::int32_t left, std::int32_t above) {
                 goes_left[i * prediction.size() + j] = left > above;
               });
  std::size_t i = reference.size();
  std::size_t j = prediction.size();
  while (i > 0 && j > 0) {
    if (reference[i - 1] == prediction[j - 1]) {
      marks[--i] = true;
      --j;
    } else if (goes_left[(i - 1) * prediction.size() + j - 1]) {
      --j;
    } else {
      --i;
    }
  }
}

}  // namespace quern::tools::rouge
