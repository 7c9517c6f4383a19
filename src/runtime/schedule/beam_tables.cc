#include "runtime/schedule/beam_tables.h"

#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {

std::int64_t BeamTables::blocks_needed(int prompt_len, int max_tokens, int num_beams,
                                       int block_size) {
  const std::int64_t shared = prompt_len / block_size;
  // The last token is never fed back.
  const std::int64_t longest = ceil_div(prompt_len + max_tokens - 1, block_size);
  return shared + num_beams * (longest - shared);
}

BeamTables::BeamTables(std::vector<std::int32_t> blocks, int prompt_len, int block_size)
    : blocks_(std::move(blocks)),
      block_size_(block_size),
      manager_(static_cast<std::int64_t>(blocks_.size())) {
  // A new manager gives its blocks in order, so that cached blocks of the prompt stay in front.
  tables_.push_back(manager_.reserve(ceil_div(prompt_len, block_size)).value());
}

std::vector<BlockCopy> BeamTables::advance(std::span<const int> parents, std::int64_t position) {
  std::vector<std::vector<std::int32_t>> tables;
  for (const int parent : parents) {
    tables.push_back(manager_.share(tables_.at(static_cast<std::size_t>(parent))));
  }
  for (const auto& table : tables_) manager_.release(table);
  std::swap(tables_, tables);  // `tables`: those before

  const auto index = static_cast<std::size_t>(position / block_size_);
  std::vector<BlockCopy> copies;
  for (std::vector<std::int32_t>& table : tables_) {
    if (index == table.size()) {
      QUERN_CHECK(manager_.append(table));
      continue;
    }
    const auto copy = manager_.make_writable(table, index);
    QUERN_CHECK(copy.has_value());
    if (copy->source == copy->destination) continue;
    copies.push_back({blocks_[static_cast<std::size_t>(copy->source)],
                      blocks_[static_cast<std::size_t>(copy->destination)]});
  }
  changed_.clear();
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    changed_.push_back(i >= tables.size() || tables_[i] != tables[i]);
  }
  return copies;
}

std::vector<std::int32_t> BeamTables::table(int beam) const {
  std::vector<std::int32_t> table;
  for (const std::int32_t index : tables_.at(static_cast<std::size_t>(beam))) {
    table.push_back(blocks_[static_cast<std::size_t>(index)]);
  }
  return table;
}

}  // namespace quern
