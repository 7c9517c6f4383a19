#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "graph/op.h"
#include "io/json/json.h"
#include "weights/quant/config.h"

namespace quern {

/// A model's config.json under Hugging Face's canonical names; every synonym (GPT-2's n_embd, …,
/// Qwen's kv_channels, …, both spellings of rope and dtype) is translated in config*.cc and nowhere
/// else. An absent key means what Hugging Face's config class says; Qwen's first generation, whose
/// class is not part of transformers, must give its sizes.
struct ModelConfig {
  std::string model_type;    ///< "gpt2", "llama", "mistral", "qwen", "qwen2", "qwen3"
  std::string architecture;  ///< architectures[0], or empty
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;  ///< the width of one of the MLP's up projections
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  int max_position_embeddings = 0;
  float norm_epsilon = 0.0f;
  Activation activation = Activation::none;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  ///< q, k, v projections
  bool attention_out_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  ///< rms norm of each query and key head before rope, as Qwen3 does
  std::optional<Rope> rope;
  std::vector<int> layer_windows;  ///< by layer; 0: full attention
  bool scale_attention = true;     ///< scores times 1 / √head_dim
  bool scale_by_inverse_layer =
      false;                   ///< GPT-2: scores of layer i (from 0) also times 1 / (i + 1)
  int logn_length = 0;         ///< Qwen's use_logn_attn: its seq_length, else 0
  std::optional<DType> dtype;  ///< torch_dtype / dtype, when given
  std::optional<QuantizationConfig> quantization;
  std::optional<std::int32_t> bos_token_id;
  std::vector<std::int32_t> eos_token_ids;
};

/// Reads folder/config.json. Errors: not_found, bad_file (file, key, expected, actual), unsupported
/// for an unknown model_type, activation, rope type or a key whose value changes the mathematics in
/// a way that we do not implement.
ModelConfig load_model_config(const std::filesystem::path& folder);

/// The same from a parsed config.json; `source` is what errors call it.
ModelConfig parse_model_config(const Json& json, const std::string& source);

}  // namespace quern
