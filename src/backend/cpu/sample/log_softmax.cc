#include "backend/cpu/sample/log_softmax.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "backend/cpu/gemm/vector_kernels.h"

namespace quern::cpu {

bool has_nonfinite(std::span<const float> logits) {
  int found = 0;
  for (const float logit : logits) {
    found |= logit < std::numeric_limits<float>::infinity() ? 0 : 1;
  }
  return found != 0;
}

float largest_of(std::span<const float> scores) {
  constexpr std::size_t kLanes = 16;
  std::array<float, kLanes> lanes;
  lanes.fill(-std::numeric_limits<float>::infinity());
  std::size_t done = 0;
  for (; done + kLanes <= scores.size(); done += kLanes) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      lanes[i] = scores[done + i] > lanes[i] ? scores[done + i] : lanes[i];
    }
  }
  const float rest = std::accumulate(scores.begin() + done, scores.end(), lanes[0],
                                     [](float a, float b) { return std::max(a, b); });
  return std::max(rest, *std::max_element(lanes.begin(), lanes.end()));
}

float log_sum_exp(std::span<const float> logits) {
  // Chunks, since the kernel overwrites its scores and adds in float32.
  constexpr std::size_t kChunk = 256;
  const VectorKernels& kernels = vector_kernels();
  const float reference = softmax_reference(largest_of(logits));
  std::array<float, kChunk> chunk;
  double sum = 0.0;
  while (!logits.empty()) {
    const std::span<float> scores(chunk.data(), std::min(kChunk, logits.size()));
    std::copy_n(logits.begin(), scores.size(), scores.begin());
    logits = logits.subspan(scores.size());
    const float largest = largest_of(scores);
    if (largest == -std::numeric_limits<float>::infinity()) continue;
    const double numerators = kernels.softmax_numerators(scores);
    sum += numerators * std::exp(double{softmax_reference(largest)} - reference);
  }
  return static_cast<float>(reference + std::log(sum));
}

std::vector<Candidate> largest(std::span<const float> scores, int count) {
  std::vector<Candidate> heap;  // the worst of the best is in front
  heap.reserve(static_cast<std::size_t>(count));
  // Later ones lose a tie.
  const auto is_out = [&](float score) {
    return std::ssize(heap) == count && !(score > heap.front().score);
  };
  constexpr std::size_t kBlock = 256;
  for (std::size_t begin = 0; begin < scores.size() && count > 0; begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, scores.size());
    // Nearly all blocks end here.
    if (is_out(largest_of(scores.subspan(begin, end - begin)))) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (is_out(scores[i])) continue;
      if (std::ssize(heap) == count) {
        std::ranges::pop_heap(heap, better);
        heap.pop_back();
      }
      heap.push_back({scores[i], static_cast<std::int32_t>(i)});
      std::ranges::push_heap(heap, better);
    }
  }
  std::ranges::sort_heap(heap, better);
  return heap;
}

}  // namespace quern::cpu
