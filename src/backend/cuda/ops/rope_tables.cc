#include "backend/cuda/ops/rope_tables.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "backend/cuda/stream/check_cuda.h"
#include "backend/cuda/stream/memory.h"
#include "graph/rope.h"

namespace quern::cuda {

const float* RopeTables::find(const Rope& rope) {
  auto found = std::ranges::find(tables_, rope, &Table::rope);
  if (found == tables_.end()) {
    std::vector<float> inv_freq = rope_inv_freq(rope, 1.0);
    if (rope.type == RopeType::longrope) {
      const std::vector<float> of_long = rope_inv_freq(rope, 2.0);
      inv_freq.insert(inv_freq.end(), of_long.begin(), of_long.end());
    }
    const std::size_t num_bytes = std::span(inv_freq).size_bytes();
    Buffer buffer = allocate_device(num_bytes, "rope frequencies", device_, stream_);
    check_cuda(cudaMemcpyAsync(buffer.data(), inv_freq.data(), num_bytes, cudaMemcpyHostToDevice,
                               stream_.get()),
               "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream_.get()), "cudaStreamSynchronize");
    tables_.push_back({rope, std::move(buffer)});
    found = std::prev(tables_.end());
  }
  return reinterpret_cast<const float*>(found->inv_freq.data());
}

}  // namespace quern::cuda
