#include "tools/bench/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "quern/error.h"

namespace quern::tools {
namespace {

/// A prefill this large keeps any GPU busy; larger ones take memory alone.
constexpr int kBenchTokensPerStep = 8192;

/// What the largest of the cells need. Prompts of one cell run in as few steps as can be.
EngineOptions limits_for(EngineOptions engine, const std::vector<BenchCell>& cells) {
  int max_tokens = 1;
  engine.prefix_cache = false;  // repeated prompts are to be computed each time
  engine.max_seqs = 1;
  engine.max_seq_len = 1;
  for (const BenchCell& cell : cells) {
    engine.max_seqs = std::max(engine.max_seqs, cell.batch_size);
    engine.max_seq_len = std::max(engine.max_seq_len, cell.seq_len());
    const std::int64_t tokens = std::int64_t{cell.batch_size} * cell.input_len;
    max_tokens =
        std::max(max_tokens, static_cast<int>(std::min<std::int64_t>(tokens, kBenchTokensPerStep)));
  }
  engine.max_tokens_per_step = std::max(max_tokens, engine.max_seqs);
  return engine;
}

/// Why an engine of this plan has no room for the cell; nothing where it has.
std::string lack_of_room(const MemoryPlan& plan, const BenchCell& cell) {
  const std::uint64_t needed = kv_cache_bytes(plan, cell);
  if (needed <= plan.kv_cache_bytes) return "";
  return fmt::format("{} bytes missing: its KV cache needs {}, there are {}",
                     needed - plan.kv_cache_bytes, needed, plan.kv_cache_bytes);
}

CellResult& largest_cell(std::vector<CellResult>& results) {
  const auto tokens = [](const CellResult& result) {
    return result.skipped.empty() ? std::int64_t{result.cell.batch_size} * result.cell.seq_len()
                                  : -1;
  };
  return *std::max_element(
      results.begin(), results.end(),
      [&](const CellResult& a, const CellResult& b) { return tokens(a) < tokens(b); });
}

}  // namespace

std::vector<CellResult> planned_cells(const std::vector<BenchCell>& cells, const ModelSource& model,
                                      const EngineOptions& options) {
  const int limit = inspect(model, options).info.max_position_embeddings;
  std::vector<CellResult> results;
  for (const BenchCell& cell : cells) {
    results.emplace_back().cell = cell;
    if (cell.seq_len() <= limit) continue;
    results.back().skipped =
        fmt::format("{} tokens, the model's max_position_embeddings is {}", cell.seq_len(), limit);
  }
  return results;
}

std::optional<Engine> make_engine(const ModelSource& model, const EngineOptions& options,
                                  std::vector<CellResult>& results) {
  while (true) {
    std::vector<BenchCell> cells;
    for (const CellResult& result : results) {
      if (result.skipped.empty()) cells.push_back(result.cell);
    }
    if (cells.empty()) return std::nullopt;
    try {
      Engine engine = Engine::load(model, limits_for(options, cells));
      for (CellResult& result : results) {
        if (result.skipped.empty()) {
          result.skipped = lack_of_room(engine.memory_plan(), result.cell);
        }
      }
      return engine;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::out_of_memory) throw;
      largest_cell(results).skipped = error.what();
    }
  }
}

std::uint64_t kv_cache_bytes(const MemoryPlan& plan, const BenchCell& cell) {
  const std::int64_t blocks_per_seq =
      (cell.seq_len() + plan.kv_block_tokens - 1) / plan.kv_block_tokens;
  const auto block_bytes = plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks);
  return static_cast<std::uint64_t>(blocks_per_seq * cell.batch_size) * block_bytes;
}

}  // namespace quern::tools
