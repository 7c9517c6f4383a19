#include "model/weight_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory/shape.h"
#include "quern/text.h"
#include "weights/quant/quantized_tensor.h"

namespace quern {
namespace {

constexpr std::string_view kLmHead = "lm_head.weight";
constexpr std::string_view kLmHeadModule = "lm_head";
constexpr std::string_view kWeightEnding = ".weight";
constexpr std::array<std::string_view, 4> kFloatTypes = {"F32", "F16", "BF16", "F64"};

/// Endings of buffers that are no weights: rotary tables and attention masks that old versions of
/// transformers stored, scales of a quantized KV cache.
constexpr std::array<std::string_view, 12> kBufferEndings = {
    ".attn.bias",  ".attn.masked_bias", ".rotary_emb.inv_freq",
    ".cos_cached", ".sin_cached",       ".rotary_emb.original_inv_freq",
    ".inv_freq",   ".masked_bias",      ".position_ids",
    ".k_scale",    ".v_scale",          ".q_scale",
};

bool is_float_type(std::string_view stored_type) {
  return std::find(kFloatTypes.begin(), kFloatTypes.end(), stored_type) != kFloatTypes.end();
}

constexpr std::uint64_t kBlockBytes = std::uint64_t{1} << 20;

bool same_tensor(const CheckpointTensor& a, const CheckpointTensor& b) {
  if (a.stored_type != b.stored_type || a.shape != b.shape) return false;
  if (a.file == b.file && a.offset == b.offset && a.strides == b.strides) return true;
  if (!a.is_dense() || !b.is_dense()) return a.read_all() == b.read_all();
  std::vector<std::byte> block_a(static_cast<std::size_t>(std::min(kBlockBytes, a.size_bytes)));
  std::vector<std::byte> block_b(block_a.size());
  for (std::uint64_t at = 0; at < a.size_bytes; at += block_a.size()) {
    const auto size = static_cast<std::size_t>(std::min(kBlockBytes, a.size_bytes - at));
    a.read(at, std::span(block_a).first(size));
    b.read(at, std::span(block_b).first(size));
    if (!std::equal(block_a.begin(), block_a.begin() + static_cast<std::ptrdiff_t>(size),
                    block_b.begin())) {
      return false;
    }
  }
  return true;
}

bool is_zero(const CheckpointTensor& tensor) {
  if (!tensor.is_dense()) return false;
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(kBlockBytes, tensor.size_bytes)));
  for (std::uint64_t at = 0; at < tensor.size_bytes; at += block.size()) {
    const auto part = std::span(block).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), tensor.size_bytes - at)));
    tensor.read(at, part);
    if (std::ranges::any_of(part, [](std::byte byte) { return byte != std::byte{0}; })) {
      return false;
    }
  }
  return true;
}

/// What a layer's tensor name has in front of the layer's number: "model.layers."; empty for other
/// names.
std::string_view layer_stem(std::string_view name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (!part.empty() && part.find_first_not_of("0123456789") == part.npos) {
      return name.substr(0, begin);
    }
    begin = end + 1;
  }
  return {};
}

/// How many there are and the first few names, for a message.
std::string shown_names(const std::vector<std::string_view>& names,
                        std::string_view what = "tensor") {
  constexpr std::size_t kMaxNamed = 3;
  std::string shown = fmt::format("{} {}{}: ", names.size(), what, names.size() == 1 ? "" : "s");
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNamed); ++i) {
    shown += (i == 0 ? "" : ", ") + quoted_name(names[i]);
  }
  return names.size() > kMaxNamed ? shown + ", …" : shown;
}

}  // namespace

WeightMap::WeightMap(const Checkpoint* checkpoint, const TensorNaming& naming,
                     const std::optional<QuantizationConfig>& quantization)
    : checkpoint_(checkpoint),
      ignored_endings_(naming.ignored_endings),
      quantization_(quantization) {
  QUERN_CHECK(!naming.prefixes.empty());
  prefix_ = naming.prefixes.front();
  if (checkpoint == nullptr) return;
  for (const std::string_view prefix : naming.prefixes) {
    if (checkpoint->find(fmt::format("{}{}", prefix, naming.anchor)) == nullptr) continue;
    prefix_ = prefix;
    break;
  }
}

void WeightMap::check_tensor(const std::string& name,
                             const std::vector<std::int64_t>& shape) const {
  const CheckpointTensor* tensor = checkpoint_->find(name);
  if (tensor == nullptr) {
    fail(ErrorCode::bad_file, "{}: tensor '{}' is missing, expected shape {}",
         checkpoint_->folder().string(), name, shape_string(shape));
  }
  if (tensor->shape != shape) {
    fail(ErrorCode::bad_file, "{}: tensor '{}': expected shape {}, got {}", tensor->file_name(),
         name, shape_string(shape), shape_string(tensor->shape));
  }
  if (!is_float_type(tensor->stored_type)) {
    fail(ErrorCode::bad_file, "{}: tensor '{}': expected dtype {}, got {}", tensor->file_name(),
         name, fmt::join(kFloatTypes, ", "), tensor->stored_type);
  }
}

WeightPart WeightMap::part(std::string name, std::vector<std::int64_t> shape, bool transposed) {
  if (checkpoint_ != nullptr) check_tensor(name, shape);
  use(name);
  return {std::move(name), std::move(shape), transposed};
}

void WeightMap::use(std::string name) {
  const auto [place, is_new] = used_.insert(std::move(name));
  QUERN_CHECK(is_new, "tensor '{}' is used twice", *place);
}

WeightPart WeightMap::matrix_part(const std::string& name, std::int64_t rows,
                                  std::int64_t in_features, bool transposed) {
  QUERN_CHECK(name.ends_with(kWeightEnding), "matrix '{}'", name);
  std::string module = name.substr(0, name.size() - kWeightEnding.size());
  if (checkpoint_ != nullptr && is_stored_quantized(*checkpoint_, module)) {
    return quantized_part(module, {rows, in_features});
  }
  if (quantization_ && quantization_->scheme(module)) float_modules_.push_back(std::move(module));
  return part(name, transposed ? std::vector{in_features, rows} : std::vector{rows, in_features},
              transposed);
}

WeightPart WeightMap::quantized_part(const std::string& module, const WeightShape& shape) {
  const std::string folder = checkpoint_->folder().string();
  if (!quantization_) {
    fail(ErrorCode::bad_file,
         "{}: the tensors of '{}' are quantized, expected a quantization_config in config.json",
         folder, module);
  }
  const auto scheme = quantization_->scheme(module);
  if (!scheme) {
    fail(
        ErrorCode::bad_file,
        "{}: the tensors of '{}' are quantized, expected floats: quantization_config leaves it out",
        folder, module);
  }
  const std::string weight = module + std::string(kWeightEnding);
  const CheckpointTensor* plain = checkpoint_->find(weight);
  if (plain != nullptr && is_float_type(plain->stored_type)) {
    fail(ErrorCode::bad_file,
         "{}: tensor '{}': '{}' is there in floats and quantized, expected one", plain->file_name(),
         weight, module);
  }
  WeightPart part{weight, {shape.out_features, shape.in_features}};
  part.quantized = find_quantized(*checkpoint_, module, *scheme, shape);
  for (std::string& name : quantized_tensor_names(module)) use(std::move(name));
  ++num_quantized_;
  return part;
}

WeightSpec WeightMap::matrix(std::int64_t in_features, std::initializer_list<Band> bands,
                             Order order) {
  WeightSpec spec{"", WeightUse::matrix, 0, in_features, {}};
  for (const Band& band : bands) {
    spec.out_features += band.rows;
    spec.parts.push_back(
        matrix_part(prefix_ + band.name, band.rows, in_features, order == Order::in_out));
  }
  return spec;
}

WeightSpec WeightMap::vector(std::initializer_list<Band> bands) {
  WeightSpec spec{"", WeightUse::vector, 1, 0, {}};
  for (const Band& band : bands) {
    spec.in_features += band.rows;
    spec.parts.push_back(part(prefix_ + band.name, {band.rows}));
  }
  return spec;
}

WeightSpec WeightMap::embedding(const std::string& name, std::int64_t rows, std::int64_t cols) {
  return {"", WeightUse::embedding, rows, cols, {part(prefix_ + name, {rows, cols})}};
}

WeightMap::TokenWeights WeightMap::token_weights(const std::string& embedding_name,
                                                 std::int64_t vocab_size, std::int64_t hidden_size,
                                                 bool tied) {
  const auto stored_as = [&](WeightUse use, std::string_view name) {
    const std::string stored_name(name);
    WeightPart stored = use == WeightUse::matrix
                            ? matrix_part(stored_name, vocab_size, hidden_size, false)
                            : part(stored_name, {vocab_size, hidden_size});
    return WeightSpec{"", use, vocab_size, hidden_size, {std::move(stored)}};
  };
  const std::string full_name = prefix_ + embedding_name;
  // A quantized lm_head cannot be the embedding.
  const bool is_head_quantized =
      checkpoint_ != nullptr && is_stored_quantized(*checkpoint_, kLmHeadModule);
  if (!tied || is_head_quantized) {
    return {stored_as(WeightUse::embedding, full_name), stored_as(WeightUse::matrix, kLmHead)};
  }
  if (checkpoint_ == nullptr) return {stored_as(WeightUse::embedding, full_name), std::nullopt};
  const CheckpointTensor* embedding = checkpoint_->find(full_name);
  const CheckpointTensor* lm_head = checkpoint_->find(kLmHead);
  if (lm_head == nullptr) return {stored_as(WeightUse::embedding, full_name), std::nullopt};
  if (embedding == nullptr) return {stored_as(WeightUse::embedding, kLmHead), std::nullopt};

  if (!same_tensor(*embedding, *lm_head)) {
    log(LogLevel::warning,
        "{}: tensor '{}' differs from '{}', so they are not tied, as in transformers 5, although "
        "the config ties them (tie_word_embeddings)",
        lm_head->file_name(), kLmHead, full_name);
    return {stored_as(WeightUse::embedding, full_name), stored_as(WeightUse::matrix, kLmHead)};
  }
  used_.emplace(kLmHead);
  return {stored_as(WeightUse::embedding, full_name), std::nullopt};
}

void WeightMap::check_quantization() const {
  if (!quantization_) return;
  if (num_quantized_ == 0 && !quantization_->is_required()) return;
  if (num_quantized_ == 0) {
    fail(ErrorCode::bad_file, "{}: quantization_config: expected {} tensors, got none but floats",
         quantization_->where(), quantization_->method());
  }
  std::vector<std::string_view> names;
  for (const std::string& module : float_modules_) {
    if (module != kLmHeadModule) names.push_back(module);
  }
  if (names.empty()) return;
  log(LogLevel::warning,
      "{}: not quantized, although quantization_config does not leave it out: {}",
      checkpoint_->folder().string(), shown_names(names, "module"));
}

void WeightMap::finish() const {
  if (checkpoint_ == nullptr) return;
  check_quantization();
  std::set<std::string_view> layer_stems;
  for (const std::string& name : used_) layer_stems.insert(layer_stem(name));
  const auto is_buffer = [&](std::string_view name) {
    const auto matches = [&](std::string_view ending) { return name.ends_with(ending); };
    return std::ranges::any_of(ignored_endings_, matches) ||
           std::ranges::any_of(kBufferEndings, matches);
  };
  std::vector<std::string_view> unused;
  std::vector<std::string_view> contradicting;
  for (const auto& [name, tensor] : checkpoint_->tensors()) {
    if (used_.contains(name) || is_buffer(name)) continue;
    const std::string_view stem = layer_stem(name);
    const bool is_of_a_layer = !stem.empty() && layer_stems.contains(stem);
    (is_of_a_layer && !is_zero(tensor) ? contradicting : unused).push_back(name);
  }
  if (!contradicting.empty()) {
    fail(ErrorCode::bad_file,
         "{}: the layers that config.json describes have no place for {}; expected none but zeros",
         checkpoint_->folder().string(), shown_names(contradicting));
  }
  if (!unused.empty()) {
    log(LogLevel::warning, "{}: the model does not use {}", checkpoint_->folder().string(),
        shown_names(unused));
  }
}

}  // namespace quern
