#include "backend/cpu/sample/log_softmax.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace quern::cpu {

bool has_nonfinite(std::span<const float> logits) {
  int found = 0;
  for (const float logit : logits) {
    found |= logit < std::numeric_limits<float>::infinity() ? 0 : 1;
  }
  return found != 0;
}

float log_sum_exp(std::span<const float> logits) {
  const float largest = logits[static_cast<std::size_t>(argmax(logits))];
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  return static_cast<float>(largest + std::log(sum));
}

std::vector<Candidate> largest(std::span<const float> scores, int count) {
  std::vector<Candidate> heap;  // the worst of the best is in front
  heap.reserve(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < scores.size() && count > 0; ++i) {
    if (std::ssize(heap) == count) {
      // Later ones lose a tie: nearly all scores end here.
      if (!(scores[i] > heap.front().score)) continue;
      std::ranges::pop_heap(heap, better);
      heap.pop_back();
    }
    heap.push_back({scores[i], static_cast<std::int32_t>(i)});
    std::ranges::push_heap(heap, better);
  }
  std::ranges::sort_heap(heap, better);
  return heap;
}

}  // namespace quern::cpu
