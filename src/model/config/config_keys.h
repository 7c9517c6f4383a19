#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "graph/op.h"
#include "io/json/json.h"
#include "model/config/config.h"

namespace quern {

// What the families' config readers have in common. Every error names file, key, expected, actual.

// Bounds far above any real model. They keep every product of sizes within 64 bits, and every row
// of activations within 31.
inline constexpr int kMaxVocabSize = 1 << 24;
inline constexpr int kMaxWidth = 1 << 20;
inline constexpr int kMaxLayers = 1 << 12;
inline constexpr int kMaxHeads = 1 << 12;
inline constexpr int kMaxHeadDim = 1 << 12;
inline constexpr int kMaxPositions = 1 << 28;

/// The first of these synonyms that the object has; the first of all when it has none, so that an
/// error names the usual spelling.
std::string_view present_key(const JsonObject& object,
                             std::initializer_list<std::string_view> synonyms);

/// A size from 1 to `high`, under the first of the synonyms that is there; without one `absent`, or
/// an error where there is no default.
int read_size(const JsonObject& object, std::initializer_list<std::string_view> synonyms, int high,
              std::optional<int> absent = std::nullopt);

/// A size from 1 to `high`, or nothing.
std::optional<int> read_optional_size(const JsonObject& object, std::string_view key, int high);

/// hidden_size / num_attention_heads, which must be whole and at most kMaxHeadDim. `hidden_key` is
/// the key that an error names.
int divided_head_dim(const JsonObject& object, std::string_view hidden_key,
                     const ModelConfig& config);

/// The epsilon of a norm: in (0, 1].
float read_epsilon(const JsonObject& object, std::string_view key, double absent);

/// The activation of that key. Errors: unsupported, listing those we know.
Activation read_activation(const JsonObject& object, std::string_view key, Activation absent);

/// A dtype by name, as torch or its short names spell it ("float16", "torch.float16", "half");
/// nothing for "auto". Errors: unsupported for another than float32, float16, bfloat16 and float64,
/// which counts as float32.
std::optional<DType> read_dtype(const JsonObject& object, std::string_view key);

/// An integer, also as a float without a fraction, as some programs write integers.
std::optional<std::int64_t> read_integer(const JsonObject& object, std::string_view key,
                                         std::int64_t low, std::int64_t high);

/// One token id, or none: null, absent, or -1 as old LLaMA configs write it.
std::optional<std::int32_t> read_token_id(const JsonObject& object, std::string_view key);

/// Token ids: one, a list, or none. -1 is no token.
std::vector<std::int32_t> read_token_ids(const JsonObject& object, std::string_view key);

/// The token ids of a list. Errors: bad_file naming `key` when it is none.
std::vector<std::int32_t> token_id_list(const JsonObject& object, std::string_view key,
                                        const Json& list);

/// Refuses a switch that changes the mathematics in a way that we do not implement.
/// Errors: unsupported when it is there and not `supported`.
void require_setting(const JsonObject& object, std::string_view key, bool supported);

/// Refuses a key that is there at all. Errors: unsupported, giving the reason.
void refuse_key(const JsonObject& object, std::string_view key, std::string_view reason);

}  // namespace quern
