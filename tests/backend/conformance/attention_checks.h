#pragma once

#include <optional>
#include <vector>

#include "graph/op.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {

/// One attention over sequences.
struct AttentionCase {
  std::vector<SequenceSpec> seqs;
  int num_heads = 2;
  int num_kv_heads = 2;
  int head_dim = 16;
  int block_size = 4;
  std::optional<Rope> rope = std::nullopt;
  bool qk_norm = false;
  int window = 0;
  float softcap = 0.0f;
  int logn_length = 0;
  float magnitude = 1.0f;  ///< of q and k
  /// Element types of the cache; unset: the activation dtype.
  std::optional<DType> keys = std::nullopt, values = std::nullopt;
};

/// A rope for which every parameter has an effect at the few positions of a test.
Rope rope_of(RopeType type, int rotary_dim);

/// Checks an attention against graph/op.h's contract: results and cache contents.
class AttentionChecks : public TypedBackendTest {
 protected:
  void check(const AttentionCase& c);

  /// Runs it with the backend; overridden by tests of single kernels.
  virtual void run(StepHarness& harness, const Attention& op) { harness.run(op); }

 private:
  static constexpr int kLayer = 1;

  /// The `index`-th head of a token row.
  std::vector<double> head_of(int row, int index) const;
  void check_sequence(const StepHarness& harness, int seq, const std::vector<float>& out) const;
  /// The keys and values of a kv head's slots, of a sequence.
  struct CachedHead {
    std::vector<std::vector<float>> keys, values;
  };
  CachedHead read_head(const StepHarness& harness, int seq, int kv_head) const;
  /// Expected result of query head `head` of the sequence's `i`-th new token, from the current
  /// cache.
  Expected expected_head(const StepHarness& harness, const CachedHead& cached, int seq, int i,
                         int head, const std::vector<float>& inv_freq) const;
  /// Checks that the new keys (normed, rotated) and values are in their slots, and nothing after
  /// them.
  void check_appended(const StepHarness& harness, int seq, int kv_head,
                      const std::vector<float>& inv_freq) const;

  Attention op_;
  std::vector<float> qkv_, q_norm_, k_norm_;
};

}  // namespace quern::testing
