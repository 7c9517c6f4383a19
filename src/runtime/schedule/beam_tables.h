#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/schedule/block_manager.h"

namespace quern {

/// The block tables of one request's beams, over blocks that the request has reserved. Beams share
/// blocks until they write to them (copy-on-write).
class BeamTables {
 public:
  /// The most blocks that the beams can hold at a time: the prompt's full ones once, all others
  /// once for each beam.
  static std::int64_t blocks_needed(int prompt_len, int max_tokens, int num_beams, int block_size);

  /// One table, for the prompt. `blocks`: blocks_needed().
  BeamTables(std::vector<std::int32_t> blocks, int prompt_len, int block_size);

  /// Beam i continues the old beam parents[i], and its next token goes to slot `position`. Returns
  /// the block copies to make before that step.
  std::vector<BlockCopy> advance(std::span<const int> parents, std::int64_t position);
  /// A beam's blocks.
  std::vector<std::int32_t> table(int beam) const;
  /// Whether it differs from what the same beam had before the last advance().
  bool changed(int beam) const { return changed_.at(static_cast<std::size_t>(beam)); }

 private:
  std::vector<std::int32_t> blocks_;
  int block_size_;
  BlockManager manager_;  ///< of indices into blocks_
  std::vector<std::vector<std::int32_t>> tables_;
  std::vector<bool> changed_;
};

}  // namespace quern
