#include "model/weight_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::string_view kLmHead = "lm_head.weight";
constexpr std::array<std::string_view, 3> kFloatTypes = {"F32", "F16", "BF16"};

bool is_float_type(std::string_view stored_type) {
  return std::find(kFloatTypes.begin(), kFloatTypes.end(), stored_type) != kFloatTypes.end();
}

bool same_tensor(const SafetensorsEntry& a, const SafetensorsEntry& b) {
  return a.stored_type == b.stored_type && a.shape == b.shape &&
         std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end());
}

}  // namespace

WeightMap::WeightMap(const Checkpoint* checkpoint, const TensorNaming& naming)
    : checkpoint_(checkpoint), ignored_endings_(naming.ignored_endings) {
  QUERN_CHECK(!naming.prefixes.empty());
  prefix_ = naming.prefixes.front();
  if (checkpoint == nullptr) return;
  for (const std::string_view prefix : naming.prefixes) {
    if (checkpoint->find(fmt::format("{}{}", prefix, naming.anchor)).entry == nullptr) continue;
    prefix_ = prefix;
    break;
  }
}

void WeightMap::check_tensor(const std::string& name,
                             const std::vector<std::int64_t>& shape) const {
  const Checkpoint::TensorRef tensor = checkpoint_->find(name);
  if (tensor.entry == nullptr) {
    fail(ErrorCode::bad_file, "{}: tensor '{}' is missing, expected shape {}",
         checkpoint_->folder().string(), name, shape_string(shape));
  }
  if (tensor.entry->shape != shape) {
    fail(ErrorCode::bad_file, "{}: tensor '{}': expected shape {}, got {}",
         tensor.file->path().string(), name, shape_string(shape),
         shape_string(tensor.entry->shape));
  }
  if (!is_float_type(tensor.entry->stored_type)) {
    fail(ErrorCode::bad_file, "{}: tensor '{}': expected dtype {}, got {}",
         tensor.file->path().string(), name, fmt::join(kFloatTypes, ", "),
         tensor.entry->stored_type);
  }
}

WeightPart WeightMap::part(std::string name, std::vector<std::int64_t> shape, bool transposed) {
  if (checkpoint_ != nullptr) check_tensor(name, shape);
  const bool is_new = used_.insert(name).second;
  QUERN_CHECK(is_new, "tensor '{}' is used twice", name);
  return {std::move(name), std::move(shape), transposed};
}

WeightSpec WeightMap::matrix(std::int64_t in_features, std::initializer_list<Band> bands,
                             Order order) {
  const bool transposed = order == Order::in_out;
  WeightSpec spec{"", WeightUse::matrix, 0, in_features, {}};
  for (const Band& band : bands) {
    spec.out_features += band.rows;
    spec.parts.push_back(
        part(prefix_ + band.name,
             transposed ? std::vector{in_features, band.rows} : std::vector{band.rows, in_features},
             transposed));
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
    return WeightSpec{
        "", use, vocab_size, hidden_size, {part(std::string(name), {vocab_size, hidden_size})}};
  };
  const std::string full_name = prefix_ + embedding_name;
  if (!tied) {
    return {stored_as(WeightUse::embedding, full_name), stored_as(WeightUse::matrix, kLmHead)};
  }
  if (checkpoint_ == nullptr) return {stored_as(WeightUse::embedding, full_name), std::nullopt};
  const Checkpoint::TensorRef embedding = checkpoint_->find(full_name);
  const Checkpoint::TensorRef lm_head = checkpoint_->find(kLmHead);
  if (lm_head.entry == nullptr) return {stored_as(WeightUse::embedding, full_name), std::nullopt};
  if (embedding.entry == nullptr) return {stored_as(WeightUse::embedding, kLmHead), std::nullopt};

  if (!same_tensor(*embedding.entry, *lm_head.entry)) {
    fail(ErrorCode::bad_file,
         "{}: tensor '{}' differs from '{}', expected them to be the same: the config ties them "
         "(tie_word_embeddings)",
         lm_head.file->path().string(), kLmHead, full_name);
  }
  checkpoint_->release(lm_head);
  used_.emplace(kLmHead);
  return {stored_as(WeightUse::embedding, full_name), std::nullopt};
}

void WeightMap::finish() const {
  if (checkpoint_ == nullptr) return;
  constexpr std::size_t kMaxNamed = 3;
  std::vector<std::string_view> named;
  std::size_t num_left = 0;
  for (const auto& entry : checkpoint_->tensors()) {
    const std::string_view name = entry.first;
    const bool ignored =
        std::any_of(ignored_endings_.begin(), ignored_endings_.end(),
                    [&](std::string_view ending) { return name.ends_with(ending); });
    if (ignored || used_.contains(name)) continue;
    if (++num_left <= kMaxNamed) named.push_back(name);
  }
  if (num_left == 0) return;
  fail(ErrorCode::bad_file, "{}: {} tensor{} left over that the model does not use: {}{}",
       checkpoint_->folder().string(), num_left, num_left == 1 ? "" : "s", fmt::join(named, ", "),
       num_left > kMaxNamed ? ", …" : "");
}

}  // namespace quern
