#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/memory/shape.h"
#include "runtime/load/backend_choice.h"
#include "runtime/output/ring_reader.h"
#include "runtime/request/request_check.h"
#include "runtime/run/model_runner.h"
#include "runtime/schedule/block_manager.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// Runs sequences step by step without a scheduler: their block tables grow one block at a time,
/// and may share a prefix of blocks.
class BlockRun {
 public:
  using Ids = std::vector<std::int32_t>;

  explicit BlockRun(const EngineOptions& options, const std::string& model = "tale-llama")
      : options_(resolve_options(options)),
        model_(open_model(demo_model(model).string(), options_)),
        backend_(make_backend(options_)),
        plan_(plan_engine(model_, *backend_, options_)),
        runner_(model_, plan_, *backend_),
        ring_(runner_.arrays().ring()),
        blocks_(plan_.limits.num_blocks) {}

  /// A sequence with these prompt ids, without blocks yet.
  Sequence& add(const Ids& prompt_ids) {
    Request request;
    request.prompt_ids = prompt_ids;
    request.sampling.greedy = true;
    request.ignore_eos = true;
    request.max_new_tokens = 1000;
    sequences_.push_back(
        make_sequence(sequences_.size() + 1, request, model_, plan_.limits.max_seq_len));
    Sequence& sequence = *sequences_.back();
    sequence.state_row = static_cast<int>(sequences_.size()) - 1;
    return sequence;
  }

  /// Lets a sequence start with the first `num_tokens` cached tokens of another, sharing their
  /// blocks.
  void share_prefix(const Sequence& other, Sequence& sequence, int num_tokens) {
    const auto count = ceil_div(num_tokens, plan_.limits.block_size);
    sequence.blocks = blocks_.share(std::span(other.blocks).first(static_cast<std::size_t>(count)));
    sequence.prefilled = num_tokens;
  }

  /// Writes the state row of a newly started sequence.
  void start(const Sequence& sequence) {
    runner_.arrays().write_sequence(sequence, initial_rope_alpha(model_, sequence));
  }

  /// One step: the rest of the prompt for sequences in prefill, a token for the others.
  void step() {
    ScheduledStep step;
    for (const bool decode : {true, false}) {
      for (const auto& sequence : sequences_) {
        if (sequence->decoding() != decode) continue;
        const int q_len = decode ? 1 : sequence->prompt_len() - sequence->prefilled;
        step.runs.push_back({sequence.get(), sequence->prefilled, q_len, decode, true});
        step.num_decode += decode ? 1 : 0;
        step.num_prefill_tokens += decode ? 0 : q_len;
      }
    }
    for (const ScheduledRun& run : step.runs) make_room(run);
    runner_.run(runner_.arrays().write_batch(step));
    for (const ScheduledRun& run : step.runs) {
      if (!run.decode) run.sequence->prefilled += run.q_len;
      ++run.sequence->launched;
    }
    backend_->wait();
    for (const auto& sequence : sequences_) {
      sequence->accept(ring_.token(0, sequence->state_row, -1));
    }
    ring_.consume(1);
  }

  static Ids generated(const Sequence& sequence) {
    return {sequence.token_ids.begin() + sequence.prompt_len(), sequence.token_ids.end()};
  }
  const BlockManager& blocks() const { return blocks_; }
  int num_copies() const { return num_copies_; }
  int block_size() const { return plan_.limits.block_size; }

 private:
  /// Allocates the blocks that the run writes to: missing ones, and copies of shared ones.
  void make_room(const ScheduledRun& run) {
    Sequence& sequence = *run.sequence;
    const int begin = run.decode ? sequence.prompt_len() + sequence.launched - 1 : run.begin;
    for (int slot = begin; slot < begin + run.q_len; ++slot) {
      const auto index = static_cast<std::size_t>(slot / plan_.limits.block_size);
      if (index == sequence.blocks.size()) {
        ASSERT_TRUE(blocks_.append(sequence.blocks));
        runner_.arrays().write_block(sequence, index);
        continue;
      }
      const auto copy = blocks_.make_writable(sequence.blocks, index);
      ASSERT_TRUE(copy);
      if (copy->source == copy->destination) continue;
      backend_->copy_blocks(runner_.step().kv_cache, {&*copy, 1});
      runner_.arrays().write_block(sequence, index);
      ++num_copies_;
    }
  }

  EngineOptions options_;
  OpenedModel model_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  RingReader ring_;
  BlockManager blocks_;
  std::vector<std::unique_ptr<Sequence>> sequences_;
  int num_copies_ = 0;
};

/// What an engine generates, which reserves all blocks at admission.
inline BlockRun::Ids expected_ids(const EngineOptions& options, const BlockRun::Ids& prompt_ids,
                                  std::size_t count) {
  Request request;
  request.prompt_ids = prompt_ids;
  request.sampling.greedy = true;
  request.ignore_eos = true;
  request.max_new_tokens = static_cast<int>(count);
  return Engine::load(demo_model("tale-llama").string(), options).generate(request).output_ids;
}

inline EngineOptions block_run_options(DeviceChoice device) {
  EngineOptions options;
  options.device = device;
  options.dtype = DType::float32;
  options.max_seqs = 3;
  options.max_seq_len = 200;
  options.device_loop = DeviceLoopChoice::off;
  return options;
}

/// A block table that grows while its sequence runs gives the same tokens as one reserved in
/// advance.
inline void expect_growth_changes_no_token(DeviceChoice device) {
  const EngineOptions options = block_run_options(device);
  BlockRun run(options);
  BlockRun::Ids prompt(40);
  std::iota(prompt.begin(), prompt.end(), 300);
  Sequence& sequence = run.add(prompt);
  run.start(sequence);
  for (int i = 0; i < 100; ++i) {
    run.step();
    ASSERT_EQ(std::ssize(sequence.blocks), ceil_div(40 + i, run.block_size()));
  }
  EXPECT_EQ(BlockRun::generated(sequence), expected_ids(options, prompt, 100));
}

/// Sequences that share a prefix, and the block in which they diverge, give the same tokens as
/// alone.
inline void expect_sharing_changes_no_token(DeviceChoice device) {
  const EngineOptions options = block_run_options(device);
  BlockRun run(options);
  BlockRun::Ids prompt(40);
  std::iota(prompt.begin(), prompt.end(), 300);
  Sequence& first = run.add(prompt);
  run.start(first);
  for (int i = 0; i < 10; ++i) run.step();

  // 40 + 9 tokens are cached. Two others begin with 45 of them and then diverge.
  std::vector<Sequence*> others;
  for (const std::int32_t own : {777, 888}) {
    BlockRun::Ids ids(first.token_ids.begin(), first.token_ids.begin() + 45);
    ids.push_back(own);
    Sequence& sequence = run.add(ids);
    run.share_prefix(first, sequence, 45);
    run.start(sequence);
    others.push_back(&sequence);
  }
  EXPECT_EQ(run.blocks().ref_count(first.blocks[1]), 3);
  for (int i = 0; i < 60; ++i) run.step();
  EXPECT_EQ(run.num_copies(), 2) << "the last holder needs none";
  EXPECT_EQ(run.blocks().ref_count(first.blocks[0]), 3);
  EXPECT_EQ(run.blocks().ref_count(first.blocks[1]), 1);
  EXPECT_EQ(BlockRun::generated(first), expected_ids(options, prompt, 70));
  for (const Sequence* sequence : others) {
    const BlockRun::Ids ids(sequence->token_ids.begin(), sequence->token_ids.begin() + 46);
    EXPECT_EQ(BlockRun::generated(*sequence), expected_ids(options, ids, 60));
  }
}

}  // namespace quern::testing
