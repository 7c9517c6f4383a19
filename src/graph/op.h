#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

namespace quern {

/// An index into Graph::values.
enum class ValueId : std::int32_t {};
/// An index into Graph::weights.
enum class WeightId : std::int32_t {};

// The contract between models and backends. Shapes are [rows, cols]; `tokens` and `logit_rows` are
// the two kinds of rows (Rows). "T" is the activation dtype (float32, float16 or bfloat16). Where
// rounding is not mentioned the arithmetic is float32, in any order. A store to T rounds to nearest
// even and does not saturate: float16 overflow becomes infinity.

/// The first node: out[t] = token_embedding[token_ids[t]] (+ position_embedding[positions[t]]).
/// Shapes: out [tokens, hidden_size] float32. Rounding: none; the sum is float32.
/// Ids and positions come from Step::token_id and Step::position. Source: HF GPT2Model, LlamaModel.
struct Embed {
  ValueId out;
  WeightId token_embedding;                    ///< [vocab_size, hidden_size]
  std::optional<WeightId> position_embedding;  ///< [max_position_embeddings, hidden_size]
};

enum class NormKind : std::uint8_t { rms, layer };
enum class Activation : std::uint8_t {
  none,
  silu,       ///< x / (1 + e^-x)
  gelu,       ///< x Φ(x), by erf
  gelu_tanh,  ///< HF gelu_new, gelu_fast, …: 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
  relu,
  quick_gelu,    ///< x / (1 + e^-1.702x)
  gelu_10,       ///< gelu, clamped to [-10, 10]
  relu_squared,  ///< relu(x)², HF relu2
  relu6,         ///< x clamped to [0, 6]
  leaky_relu,    ///< x, or 0.01 x below 0
  tanh,
  sigmoid,        ///< 1 / (1 + e^-x)
  mish,           ///< x tanh(log(1 + e^x))
  hardswish,      ///< x · relu6(x + 3) / 6
  laplace,        ///< Φ((x - 0.707107) / 0.282095)
  sqrt_softplus,  ///< √log(1 + e^x)
};

/// The symbolic leading dimension of a value: all rows of the step, or those of
/// BatchView::logit_rows.
enum class Rows : std::uint8_t { tokens, logit_rows };

/// residual_out = residual (+ delta); out = act(W · n + bias) with n = norm(residual_out), or gated
/// out = act(Wg · n + bg) * (Wu · n + bu) with W = [Wg; Wu] stacked by rows.
/// Shapes: residual [in_rows, in] float32; delta [in_rows, in] T; residual_out [out_rows, in]
///   float32; weight [out, in], gated [2·out, in]; out [out_rows, out] T, or the logits: float32.
///   in_rows tokens and out_rows logit_rows: reads only the token rows named in
///   BatchView::logit_rows, in their order. Else both are the same.
/// Norms: rms is x / √(mean(x²) + ε) · gain; layer is (x - mean) / √(var + ε) · gain + norm_bias.
/// Rounding: n is rounded to T once, after gain and norm_bias, then as WeightFormat::activation
///   says, if it does; a quantized weight's numbers, and scale · value of inputs rounded by groups,
///   may be rounded to T once; products accumulate in float32, of integers exactly;
///   bias, activation and gate act on float32; out is rounded once.
/// Aliasing: none of the outputs overlaps an input.
/// Source: HF LlamaRMSNorm, GPT2MLP, LlamaMLP.
struct NormLinear {
  ValueId residual;
  std::optional<ValueId> delta;
  std::optional<ValueId> residual_out;
  ValueId out;
  WeightId gain;                      ///< [1, in]
  std::optional<WeightId> norm_bias;  ///< [1, in], layer only
  WeightId weight;
  std::optional<WeightId> bias;  ///< [1, rows of weight]
  NormKind norm = NormKind::rms;
  float epsilon = 0.0f;
  Activation activation = Activation::none;
  bool gated = false;
  Rows in_rows = Rows::tokens;
  Rows out_rows = Rows::tokens;
};

enum class RopeType : std::uint8_t { standard, linear, dynamic, llama3, yarn, longrope, qwen_ntk };

/// Pairs of elements that longrope has factors for, at most.
inline constexpr int kMaxLongropePairs = 128;

/// Rotary positions in the half-split form over the first rotary_dim elements of a head. See
/// graph/rope.h for the frequencies. Angles are float32 products position · inv_freq, as HF
/// computes them.
struct Rope {
  RopeType type = RopeType::standard;
  int rotary_dim = 0;
  double theta = 10000.0;
  double factor = 1.0;            ///< linear, dynamic, llama3, yarn, longrope
  double low_freq_factor = 1.0;   ///< llama3
  double high_freq_factor = 4.0;  ///< llama3
  double beta_fast = 32.0;        ///< yarn
  double beta_slow = 1.0;         ///< yarn
  double attention_factor = 1.0;  ///< yarn, longrope: cos and sin are multiplied by it
  bool truncate = true;           ///< yarn: round the correction range to whole dimensions
  /// llama3, yarn: the trained length; dynamic, qwen_ntk: beyond it the base grows; longrope:
  /// beyond it long_factors apply.
  int original_max_position = 0;
  /// longrope: the first rotary_dim / 2 divide the frequencies.
  std::array<float, kMaxLongropePairs> short_factors{}, long_factors{};

  bool operator==(const Rope&) const = default;
};

/// Q/k norm, rope, append to the KV cache and causal attention, for the packed sequences of a step.
/// Shapes: qkv [tokens, (num_heads + 2·num_kv_heads) · head_dim] T, ordered q | k | v;
///   out [tokens, num_heads · head_dim] T; KV cache see KvCacheView. Query head h reads kv head
///   h / (num_heads / num_kv_heads).
/// Slots: a sequence with q_len new tokens and kv_len after the append puts its i-th new token into
///   slot kv_len - q_len + i; it attends to the slots up to its own, with `window` > 0 to the last
///   `window` of them, itself included. Sequences whose state says finished append nothing, and
///   their out rows are zero.
/// Rounding: q and k are normed (rms over head_dim), rotated and scaled by logn in float32, then
///   rounded to T; k and v are stored as T, or, where the cache has scales, quantized from T as
///   kv_vector.h defines. All tokens, the new one too, attend to what is stored. Scores scale ·
///   q·k, softcap (c · tanh(s / c)) and softmax in float32. Probabilities are relative to the power
///   of two at or above the largest, exp(s) / 2^⌈max · log₂e⌉, and rounded to T before P·V; their
///   sum is not rounded, the quotient to T once. A scale is a factor of the score or of the
///   probability: of that before or after it is rounded, where before, relative to a power of two
///   no less than 2^-15 of the largest scale. (A power of two, so that the rounding of a
///   probability does not depend on which slots a kernel has seen before.)
/// Rope base: see Rope and SequenceState::rope_alpha. dynamic and longrope use the larger of the
///   state's alpha and that of kv_len.
/// logn: a query at position p >= logn_length is multiplied by log(p + 1) / log(logn_length).
/// Source: HF LlamaAttention, Qwen3Attention, Qwen modeling_qwen.py; Flash Attention (Dao 2022) for
///   the order of sums.
struct Attention {
  ValueId qkv;
  ValueId out;
  int layer = 0;  ///< index into the KV cache
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  std::optional<Rope> rope;
  std::optional<WeightId> q_norm;  ///< [1, head_dim]
  std::optional<WeightId> k_norm;  ///< [1, head_dim]
  float norm_epsilon = 0.0f;
  float scale = 1.0f;
  int window = 0;        ///< 0: all slots
  float softcap = 0.0f;  ///< 0: none
  int logn_length = 0;   ///< 0: none
};

/// out = W · in + bias. Shapes: in [rows, in] T; weight [out, in]; out [rows, out] T.
/// Rounding: inputs as WeightFormat::activation says; a quantized weight's numbers, and scale ·
/// value of inputs rounded by groups, may be rounded to T once; float32 accumulation and bias, one
/// rounding of out.
struct Linear {
  ValueId in;
  ValueId out;
  WeightId weight;
  std::optional<WeightId> bias;
  Rows rows = Rows::tokens;
};

/// out = the sum of `in` over all ranks. Shapes: both [rows, cols] of one dtype.
/// Errors: unsupported where the backend has no communicator. With one rank the node is not in the
/// graph.
struct AllReduce {
  ValueId in;
  ValueId out;
};

/// out = the ranks' `in` side by side. Shapes: in [rows, cols / ranks], out [rows, cols].
/// Errors: as AllReduce.
struct AllGather {
  ValueId in;
  ValueId out;
};

/// Samples a token for each logit row whose sequence is not finished and writes it to
/// SequenceState::last_token, and its log-probabilities to the output ring if requested.
/// Order: repetition (prompt and generated), presence and frequency penalties (generated), DRY and
///   no-repeat n-gram (prompt and generated), banned phrases, logit bias; then temperature,
///   top-nσ, top-k, top-p, min-p, typical-p, epsilon- and eta-cutoff, XTC, mirostat; then the draw:
///   the survivor with the largest logit / temperature + gumbel(draw_word(seed, sequence_index,
///   position, id)), the lowest id on a tie, where `position` is the index in the whole sequence
///   that the token will have. Temperature 0 is argmax after the penalties. See base/philox.h.
/// Filters, on scores logit / temperature above -inf; probabilities are of what the filters before
///   have left, the softmax of its scores, in double precision from float32 exponentials:
///   - top-nσ: scores of at least the largest less top_n_sigma standard deviations (of the
///     population) stay;
///   - top-k, top-p, min-p as HF's warpers;
///   - typical-p: by distance of the score from the mean score Σ p · score, which is that of -log p
///     from the entropy, the nearest stay that together reach typical_p, with ties;
///   - epsilon and eta: probabilities of at least epsilon_cutoff, or of min(η, √η · exp(-entropy)),
///     and the best stay; as HF's;
///   - XTC: if uniform_of_step() < xtc_probability, of the tokens of a probability of at least
///     xtc_threshold only the least probable stays, the highest id on a tie;
///   - mirostat (v2): tokens of a surprise -log2 p of at most SequenceState::mirostat_mu stay;
///   where
///     there is none, the best token, the lowest id on a tie. After the draw mu is lowered by
///     mirostat_eta · (surprise of the drawn token among these - mirostat_tau), rounded to float32
///     at the end. Rows that draw nothing (temperature 0, infinite scores, errors) leave mu alone.
/// DRY: an id that follows an earlier occurrence of the history's last n tokens, n as large as
///   possible, at least dry_allowed_length and at most kMaxDryMatch, no sequence breaker among them
///   nor the id, loses dry_multiplier · dry_base^(n - dry_allowed_length), multiplied in float32
///   from the left.
/// Mask: tokens whose bit in Step::token_bitmask is clear count as -inf from temperature on,
///   whatever the penalties and biases made of them.
/// Log-probabilities are log-softmax of the raw logits. Logits are not modified.
/// Errors, which are the sequence's alone: a row with a NaN or +inf among its raw logits writes
///   SampleError::nonfinite_logits in place of a token, whatever the mask allows; a row of which
///   penalties, biases and mask leave nothing above -inf writes SampleError::no_token. Neither
///   writes log-probabilities. Single logits of -inf are legal: those tokens are never chosen.
/// Shapes: logits [logit_rows, vocab_size] float32.
/// Source: HF logits_process.py (transformers 5); Tang et al. 2024 (top-nσ); text-generation-webui
///   (XTC and DRY, by p-e-w); Basu et al. 2021 (mirostat), llama.cpp.
struct Sample {
  ValueId logits;
};

/// Ends a closed step: for each sequence of the batch that is not finished, advances kv_len and
/// position by the step's tokens; where a token was sampled, appends it to history, counts it, and
/// sets finished (stop for an EOS id, limit at max_tokens); where Sample wrote a SampleError, sets
/// finished to error and last_token to 0, an id that further steps can embed; counts finished
/// sequences; writes the output ring's row (the token or the SampleError, -1 for neither) and
/// advances its head if the step has logit rows. In a device loop it also decides whether another
/// step follows: see LoopControl.
struct Advance {};

/// All ops that a backend must support. Adding an alternative breaks the build of every backend
/// that lacks it.
using Op =
    std::variant<Embed, NormLinear, Attention, Linear, AllReduce, AllGather, Sample, Advance>;

}  // namespace quern
