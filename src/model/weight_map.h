#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/checkpoint.h"
#include "weights/quant/config.h"
#include "weights/source.h"

namespace quern {

/// How a family names its tensors.
struct TensorNaming {
  /// Prefixes of every name but lm_head's; the first with which `anchor` exists is used.
  std::span<const std::string_view> prefixes;
  std::string_view anchor;
  /// Endings of buffers that are no weights.
  std::span<const std::string_view> ignored_endings;
};

/// Finds the checkpoint's tensors for the weights of a model and keeps account of them: every one
/// that is asked for must be there with the right shape and a float dtype, or, of a matrix, as
/// quantized tensors that the quantization config describes, and in the end none that contradicts
/// the config is left over. Without a checkpoint the weights are only declared. They
/// come without a name: see DecoderBuilder. Errors: bad_file naming file, tensor, expected and
/// actual.
class WeightMap {
 public:
  /// The configuration must outlive this.
  WeightMap(const Checkpoint* checkpoint, const TensorNaming& naming,
            const std::optional<QuantizationConfig>& quantization);

  /// A checkpoint tensor that makes `rows` rows of a weight, or as many elements of a vector.
  struct Band {
    std::string name;
    std::int64_t rows = 0;
  };
  enum class Order { out_in, in_out };  ///< in_out: stored transposed, as GPT-2's Conv1D

  WeightSpec matrix(std::int64_t in_features, std::initializer_list<Band> bands,
                    Order order = Order::out_in);
  WeightSpec vector(std::initializer_list<Band> bands);
  WeightSpec embedding(const std::string& name, std::int64_t rows, std::int64_t cols);

  /// The token embedding and the lm_head of a model. Tied, there is no lm_head: the embedding is
  /// both, stored under either name. Where a tied checkpoint has both, they are tied if they are
  /// the same bytes; if not, both count, as in transformers 5, which is logged.
  struct TokenWeights {
    WeightSpec embedding;
    std::optional<WeightSpec> lm_head;
  };
  TokenWeights token_weights(const std::string& embedding_name, std::int64_t vocab_size,
                             std::int64_t hidden_size, bool tied);

  /// Ends the account of the tensors that are left over. Buffers that old versions of transformers
  /// stored are ignored; others are logged as unused, as in Hugging Face, unless they show that the
  /// config is wrong: tensors of the layers that are not all zeros (more layers, biases, norms).
  /// Errors: bad_file that counts those and names a few, and for a quantization config without any
  /// quantized tensors.
  void finish() const;

 private:
  WeightPart matrix_part(const std::string& name, std::int64_t rows, std::int64_t in_features,
                         bool transposed);
  WeightPart quantized_part(const std::string& module, const WeightShape& shape);
  void use(std::string name);
  void check_quantization() const;
  WeightPart part(std::string name, std::vector<std::int64_t> shape, bool transposed = false);
  void check_tensor(const std::string& name, const std::vector<std::int64_t>& shape) const;

  const Checkpoint* checkpoint_;
  std::span<const std::string_view> ignored_endings_;
  std::string prefix_;
  std::set<std::string, std::less<>> used_;
  const std::optional<QuantizationConfig>& quantization_;
  std::int64_t num_quantized_ = 0;
  std::vector<std::string> float_modules_;  ///< that the quantization config describes
};

}  // namespace quern
