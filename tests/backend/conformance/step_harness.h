#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/step.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "weights/source.h"

namespace quern::testing {

/// One sequence of a step.
struct SequenceSpec {
  int q_len = 1;
  int past = 0;         ///< tokens in the KV cache before the step
  bool decode = false;  ///< decode sequences come first
  SequenceStatus status = SequenceStatus::running;
  bool wants_logits = true;
  float rope_alpha = 1.0f;
};

/// Standard normal numbers.
std::vector<float> random_floats(std::int64_t count, std::uint32_t seed);

/// Each value rounded to `dtype`.
std::vector<float> rounded(DType dtype, std::vector<float> values);

/// Builds a graph of one op and a step around it on a backend's device, every buffer guarded and
/// every output poisoned, and runs it. Sequence i is in state row num_seqs - 1 - i, so that the two
/// are not confused; its positions are its slots.
class StepHarness {
 public:
  /// A KV cache of no layers unless add_kv_cache() is called.
  StepHarness(Backend& backend, DType dtype, std::vector<SequenceSpec> seqs, int block_size = 4);

  /// A value with all rows of the step; poison where `content` is empty.
  ValueId add_value(DType dtype, std::int64_t cols, const std::vector<float>& content = {},
                    Rows rows = Rows::tokens);
  WeightId add_weight(WeightUse use, DType stored, std::int64_t rows, std::int64_t cols,
                      const std::vector<float>& content);
  WeightId add_weight(const WeightSource& source);
  WeightId add_vector(const std::vector<float>& content) {
    return add_weight(WeightUse::vector, DType::float32, 1, std::ssize(content), content);
  }

  /// Random keys and values in the slots before the step; all others stay poisoned. The format is
  /// the activation dtype unless one is given.
  void add_kv_cache(int num_layers, int num_kv_heads, int head_dim,
                    std::optional<KvFormat> format = std::nullopt);

  /// Runs one op; fails the test if a guard band was touched or a read-only value was changed.
  void run(const Op& op);
  /// The same with `launch` instead of the backend's op.
  void run(const Op& op, const std::function<void(const Step&)>& launch);

  std::vector<float> read(ValueId id) const;
  /// A slot's key or value, times its scale.
  std::vector<float> read_key(int layer, int seq, int kv_head, int slot) const;
  std::vector<float> read_value(int layer, int seq, int kv_head, int slot) const;

  /// Multiplies a slot's value, by its scale: the cache's values have some.
  void scale_value(int layer, int seq, int kv_head, int slot, float factor);

  /// Copies sequence 0's slots from before the step from another harness's cache.
  void copy_past_from(const StepHarness& other);

  template <typename T>
  std::vector<T> read_array(const T* device, std::size_t count) const {
    std::vector<T> content(count);
    backend_.copy_out(content.data(), device, count * sizeof(T));
    return content;
  }
  /// Writes element `index` of a device array.
  template <typename T>
  void poke(const T* device, std::int64_t index, T value) {
    backend_.copy_in(const_cast<T*>(device) + index, &value, sizeof(T));
  }

  int num_tokens() const { return step_.batch.num_tokens; }
  int num_seqs() const { return step_.batch.num_seqs; }
  int state_row(int seq) const { return num_seqs() - 1 - seq; }
  int first_row(int seq) const { return first_rows_[static_cast<std::size_t>(seq)]; }
  const SequenceSpec& spec(int seq) const { return seqs_[static_cast<std::size_t>(seq)]; }
  const std::vector<std::int32_t>& logit_rows() const { return logit_rows_; }
  const Step& step() const { return step_; }
  Step& step() { return step_; }
  Backend& backend() { return backend_; }
  void set_sampling(int seq, const SamplingRow& row) { poke(step_.sampling, state_row(seq), row); }
  /// `words`: [num_logit_rows, stride].
  void set_token_bitmask(const std::vector<std::int32_t>& words, std::int64_t stride) {
    step_.token_bitmask = upload(words);
    step_.token_bitmask_stride = stride;
  }

 private:
  template <typename T>
  T* upload(const std::vector<T>& content) {
    buffers_.emplace_back(backend_, content.size() * sizeof(T));
    backend_.copy_in(buffers_.back().data(), content.data(), content.size() * sizeof(T));
    return reinterpret_cast<T*>(buffers_.back().data());
  }
  void add_batch();
  void add_state();
  /// Keys or values of the cache.
  struct CacheArray {
    std::byte* data = nullptr;
    float* scales = nullptr;
    DType stored = DType::float32;
  };
  std::array<CacheArray, 2> cache_arrays() const;
  std::vector<float> read_slot(const CacheArray& array, int layer, int seq, int kv_head,
                               int slot) const;
  /// Index of a slot's vector.
  std::int64_t slot_vector(int layer, int seq, int kv_head, int slot) const;

  Backend& backend_;
  DType dtype_;
  std::vector<SequenceSpec> seqs_;
  std::deque<GuardedBuffer> buffers_;
  Graph graph_;
  Limits limits_;
  Step step_;
  std::vector<Tensor> values_;
  std::vector<Weight> weights_;
  std::vector<int> first_rows_;
  std::vector<std::int32_t> logit_rows_;
  std::vector<std::int32_t> block_table_;
};

}  // namespace quern::testing
