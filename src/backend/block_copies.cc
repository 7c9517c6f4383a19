#include "backend/block_copies.h"

#include <algorithm>
#include <vector>

#include "base/check.h"

namespace quern {

void check_block_copies(const KvCacheView& cache, std::span<const BlockCopy> copies) {
  std::vector<std::int32_t> destinations;
  for (const BlockCopy& copy : copies) {
    for (const std::int32_t block : {copy.source, copy.destination}) {
      QUERN_CHECK(block >= 0 && block < cache.num_blocks, "block {} of {}", block,
                  cache.num_blocks);
    }
    destinations.push_back(copy.destination);
  }
  std::sort(destinations.begin(), destinations.end());
  QUERN_CHECK(std::adjacent_find(destinations.begin(), destinations.end()) == destinations.end());
  for (const BlockCopy& copy : copies) {
    QUERN_CHECK(!std::binary_search(destinations.begin(), destinations.end(), copy.source),
                "block {} is both read and written", copy.source);
  }
}

}  // namespace quern
