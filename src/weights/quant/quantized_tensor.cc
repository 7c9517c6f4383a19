#include "weights/quant/quantized_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/memory/shape.h"
#include "quern/safetensors.h"
#include "quern/text.h"

namespace quern {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr std::array<std::string_view, 16> kEndings = {
    "weight",           "qweight",      "qzeros",           "scales",           "g_idx",
    "weight_packed",    "weight_scale", "weight_scale_inv", "weight_shape",     "weight_zero_point",
    "weight_g_idx",     "input_scale",  "input_zero_point", "activation_scale", "output_scale",
    "output_zero_point"};
constexpr std::array<std::string_view, 3> kPackedEndings = {"qweight", "weight_packed", "qzeros"};

DType scale_dtype(const CheckpointTensor& tensor) {
  return parse_safetensors_dtype(tensor.stored_type).value();
}

/// Finds and checks the tensors of one module.
class Finder {
 public:
  Finder(const Checkpoint& checkpoint, const std::string& module, const QuantScheme& scheme,
         const WeightShape& shape)
      : checkpoint_(checkpoint),
        scheme_(scheme),
        rows_(shape.out_features),
        inputs_(shape.in_features) {
    found_.module = module;
    found_.scheme = scheme;
    found_.shape = shape;
    found_.format.group_rows = scheme.group_rows >= rows_ ? 0 : scheme.group_rows;
    found_.format.group_size = scheme.group_size >= inputs_ ? 0 : scheme.group_size;
    if (rows_ == 1) found_.format.group_rows = 1;
    found_.num_groups = blocks(inputs_, scheme.group_size);
    found_.format.stored = scheme.is_float    ? DType::float8_e4m3
                           : scheme.bits == 4 ? DType::uint4
                                              : DType::uint8;
  }

  QuantizedTensor find() && {
    switch (scheme_.layout) {
      case QuantLayout::gptq:
        find_gptq();
        break;
      case QuantLayout::awq:
        find_awq();
        break;
      case QuantLayout::packed_rows:
        find_packed_rows();
        break;
      case QuantLayout::elements:
        find_elements();
        break;
    }
    found_.format.scale_dtype = scale_dtype(found_.scales);
    found_.format.has_zero_points = found_.zero_points.has_value();
    return std::move(found_);
  }

 private:
  static std::int64_t blocks(std::int64_t count, std::int64_t block) {
    return block == 0 ? 1 : ceil_div(count, block);
  }
  std::string name_of(std::string_view ending) const {
    return fmt::format("{}.{}", found_.module, ending);
  }
  /// The module's settings, for messages.
  std::string settings() const {
    const std::int64_t size = scheme_.group_size;
    return fmt::format("{} bits, {}", scheme_.bits,
                       size == 0 ? "one group" : fmt::format("group_size {}", size));
  }

  /// A tensor with one of these dtypes and shapes.
  const CheckpointTensor& find(std::string_view ending, std::span<const std::string_view> types,
                               std::span<const Shape> shapes) const {
    const std::string name = name_of(ending);
    const CheckpointTensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) {
      fail(ErrorCode::bad_file, "{}: tensor {} is missing, expected shape {} ({})",
           checkpoint_.folder().string(), quoted_name(name), shape_string(shapes.front()),
           settings());
    }
    if (std::ranges::find(types, tensor->stored_type) == types.end()) {
      fail(ErrorCode::bad_file, "{}: tensor {}: expected dtype {}, got {}", tensor->file_name(),
           quoted_name(name), fmt::join(types, ", "), tensor->stored_type);
    }
    if (std::ranges::find(shapes, tensor->shape) == shapes.end()) {
      fail(ErrorCode::bad_file, "{}: tensor {}: expected shape {}, got {} ({})",
           tensor->file_name(), quoted_name(name), shape_string(shapes.front()),
           shape_string(tensor->shape), settings());
    }
    return *tensor;
  }
  const CheckpointTensor& find(std::string_view ending,
                               std::initializer_list<std::string_view> types,
                               std::initializer_list<Shape> shapes) const {
    return find(ending, std::span(types.begin(), types.size()),
                std::span(shapes.begin(), shapes.size()));
  }
  /// Scales of one of these shapes.
  void find_scales(std::string_view ending, std::initializer_list<Shape> shapes) {
    found_.scales = find(ending, {"F16", "BF16", "F32"}, shapes);
    found_.scales_name = name_of(ending);
  }

  /// Numbers of `bits` that fill int32 words.
  std::int64_t words(std::int64_t count, const char* what) const {
    const std::int64_t in_word = 32 / scheme_.bits;
    if (count % in_word != 0) {
      fail(ErrorCode::bad_file, "{}: {}: {} {} do not fill words of {} numbers",
           checkpoint_.folder().string(), quoted_name(found_.module), count, what, in_word);
    }
    return count / in_word;
  }

  // Source: AutoGPTQ and gptqmodel, QuantLinear.
  void find_gptq() {
    found_.values = find("qweight", {"I32"}, {{words(inputs_, "inputs"), rows_}});
    find_scales("scales", {{found_.num_groups, rows_}});
    const CheckpointTensor& zeros =
        find("qzeros", {"I32"}, {{found_.num_groups, words(rows_, "rows")}});
    keep_zero_points(zeros, scheme_.zeros_minus_one);
    read_groups("g_idx");
  }

  // Source: AutoAWQ, WQLinear_GEMM.
  void find_awq() {
    const std::int64_t row_words = words(rows_, "rows");
    found_.values = find("qweight", {"I32"}, {{inputs_, row_words}});
    find_scales("scales", {{found_.num_groups, rows_}});
    keep_zero_points(find("qzeros", {"I32"}, {{found_.num_groups, row_words}}), false);
  }

  // Source: compressed-tensors, PackedQuantizationCompressor.
  void find_packed_rows() {
    const std::int64_t in_word = 32 / scheme_.bits;
    found_.values = find("weight_packed", {"I32"}, {{rows_, ceil_div(inputs_, in_word)}});
    check_weight_shape();
    find_block_scales("weight_scale");
    if (!scheme_.is_symmetric) {
      const Shape unpacked = found_.scales.shape;
      const CheckpointTensor* tensor = checkpoint_.find(name_of("weight_zero_point"));
      if (tensor != nullptr && tensor->stored_type == "I8") {
        found_.zero_points = find("weight_zero_point", {"I8"}, {unpacked});
      } else {
        keep_zero_points(find("weight_zero_point", {"I32"},
                              {{ceil_div(row_blocks(), in_word), found_.num_groups}}),
                         false);
      }
    }
    read_groups("weight_g_idx");
  }

  // Source: compressed-tensors, NaiveQuantizationCompressor; HF FP8Linear.
  void find_elements() {
    const Shape shape = {rows_, inputs_};
    const CheckpointTensor* weight = checkpoint_.find(name_of("weight"));
    if (scheme_.is_float && weight != nullptr && weight->stored_type == "F8_E5M2") {
      fail(ErrorCode::unsupported, "{}: tensor {}: F8_E5M2 is not supported, expected F8_E4M3",
           weight->file_name(), quoted_name(name_of("weight")));
    }
    found_.values = find("weight", {scheme_.is_float ? "F8_E4M3" : "I8"}, {shape});
    const bool has_plain_name = scheme_.scale == "weight_scale_inv" &&
                                checkpoint_.find(name_of(scheme_.scale)) == nullptr &&
                                checkpoint_.find(name_of("weight_scale")) != nullptr;
    find_block_scales(has_plain_name ? "weight_scale" : scheme_.scale);
    if (!scheme_.is_symmetric) {
      found_.zero_points =
          find("weight_zero_point", {"I8"},
               {found_.scales.shape, {scale_blocks(), found_.num_groups}, {scale_blocks()}});
    }
    read_groups("weight_g_idx");
  }

  std::int64_t scale_blocks() const {
    return static_cast<std::int64_t>(checked_numel(found_.scales.shape).value()) /
           found_.num_groups;
  }
  std::int64_t row_blocks() const { return blocks(rows_, scheme_.group_rows); }

  /// One scale for each block: [row blocks, groups], or what is usual where one of them is 1.
  void find_block_scales(std::string_view ending) {
    const std::int64_t row_count = row_blocks();
    if (scheme_.group_rows == 0 && scheme_.group_size == 0) {
      // What fp8 without blocks calls its scale may also be one a row.
      const CheckpointTensor* tensor = checkpoint_.find(name_of(ending));
      const bool is_per_row = tensor != nullptr && rows_ > 1 && !tensor->shape.empty() &&
                              tensor->shape.front() == rows_ && scheme_.is_float;
      if (is_per_row) {
        found_.format.group_rows = 1;
        return find_scales(ending, {{rows_, 1}, {rows_}});
      }
      return find_scales(ending, {{1}, {}, {1, 1}});
    }
    if (found_.num_groups == 1) return find_scales(ending, {{row_count, 1}, {row_count}});
    find_scales(ending, {{row_count, found_.num_groups}});
  }

  void check_weight_shape() const {
    const CheckpointTensor& tensor = find("weight_shape", {"I64", "I32"}, {{2}});
    const std::vector<std::byte> bytes = tensor.read_all();
    std::array<std::int64_t, 2> sizes{};
    if (tensor.stored_type == "I64") {
      std::memcpy(sizes.data(), bytes.data(), sizeof(sizes));
    } else {
      std::array<std::int32_t, 2> narrow{};
      std::memcpy(narrow.data(), bytes.data(), sizeof(narrow));
      std::ranges::copy(narrow, sizes.begin());
    }
    if (sizes[0] == rows_ && sizes[1] == inputs_) return;
    fail(ErrorCode::bad_file, "{}: tensor {}: expected [{}, {}], got [{}, {}]", tensor.file_name(),
         quoted_name(name_of("weight_shape")), rows_, inputs_, sizes[0], sizes[1]);
  }

  /// Keeps packed zero points unless all are those of a symmetric format.
  void keep_zero_points(const CheckpointTensor& tensor, bool minus_one) {
    const std::vector<std::byte> bytes = tensor.read_all();
    const int symmetric = symmetric_zero_point(found_.format.stored) - (minus_one ? 1 : 0);
    const std::uint32_t repeated = scheme_.bits == 4 ? 0x11111111u : 0x01010101u;
    const std::uint32_t largest = (1u << scheme_.bits) - 1;
    bool is_symmetric = true;
    for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      std::uint32_t word = 0;
      std::memcpy(&word, bytes.data() + at, 4);
      if (word == repeated * static_cast<std::uint32_t>(symmetric)) continue;
      is_symmetric = false;
      if (!minus_one) break;
      for (int bit = 0; bit < 32; bit += scheme_.bits) {
        found_.num_wrapped_zero_points += static_cast<int>((word >> bit & largest) == largest);
      }
    }
    if (!is_symmetric) found_.zero_points = tensor;
  }

  /// Reads the group of each input, if the checkpoint gives it.
  void read_groups(std::string_view ending) {
    const std::string name = name_of(ending);
    if (checkpoint_.find(name) == nullptr) return;
    const CheckpointTensor& tensor = find(ending, {"I32", "I64"}, {{inputs_}});
    const std::vector<std::byte> bytes = tensor.read_all();
    std::vector<std::int64_t> groups(static_cast<std::size_t>(inputs_));
    for (std::size_t i = 0; i < groups.size(); ++i) {
      if (tensor.stored_type == "I64") {
        std::memcpy(&groups[i], bytes.data() + 8 * i, 8);
      } else {
        std::int32_t group = 0;
        std::memcpy(&group, bytes.data() + 4 * i, 4);
        groups[i] = group;
      }
    }
    // compressed-tensors fills an index that it does not use with -1.
    if (std::ranges::all_of(groups, [](std::int64_t group) { return group == -1; })) return;
    const auto wrong = std::ranges::find_if(
        groups, [&](std::int64_t group) { return group < 0 || group >= found_.num_groups; });
    if (wrong != groups.end()) {
      fail(ErrorCode::bad_file, "{}: tensor {}: expected groups from 0 to {}, got {} for input {}",
           tensor.file_name(), quoted_name(name), found_.num_groups - 1, *wrong,
           wrong - groups.begin());
    }
    order_inputs(groups);
  }

  /// Sorts the inputs by group; groups that are not of the config's size get a scale an input.
  void order_inputs(std::span<const std::int64_t> groups) {
    std::vector<std::int32_t> order(groups.size());
    std::iota(order.begin(), order.end(), 0);
    const auto group_of = [&](std::int32_t input) {
      return groups[static_cast<std::size_t>(input)];
    };
    std::ranges::stable_sort(order, {}, group_of);
    const std::int64_t size = scheme_.group_size == 0 ? inputs_ : scheme_.group_size;
    bool is_regular = true;
    for (std::int64_t i = 0; i < inputs_; ++i) {
      is_regular &= group_of(order[static_cast<std::size_t>(i)]) == i / size;
    }
    if (!is_regular) {
      found_.input_groups.assign(groups.begin(), groups.end());
      found_.format.group_size = 1;
    } else if (!std::ranges::is_sorted(groups)) {
      found_.input_permutation = std::move(order);
      found_.format.permuted_inputs = true;
    }
  }

  const Checkpoint& checkpoint_;
  const QuantScheme& scheme_;
  std::int64_t rows_;
  std::int64_t inputs_;
  QuantizedTensor found_;
};

}  // namespace

bool is_stored_quantized(const Checkpoint& checkpoint, std::string_view module) {
  const auto has = [&](std::string_view ending) {
    return checkpoint.find(fmt::format("{}.{}", module, ending)) != nullptr;
  };
  if (std::ranges::any_of(kPackedEndings, has)) return true;
  const CheckpointTensor* weight = checkpoint.find(fmt::format("{}.weight", module));
  if (weight == nullptr) return false;
  return weight->stored_type == "I8" || weight->stored_type.starts_with("F8_");
}

std::vector<std::string> quantized_tensor_names(std::string_view module) {
  std::vector<std::string> names;
  names.reserve(std::size(kEndings));
  for (const std::string_view ending : kEndings) {
    names.push_back(fmt::format("{}.{}", module, ending));
  }
  return names;
}

std::shared_ptr<const QuantizedTensor> find_quantized(const Checkpoint& checkpoint,
                                                      const std::string& module,
                                                      const QuantScheme& scheme,
                                                      const WeightShape& shape) {
  return std::make_shared<const QuantizedTensor>(Finder(checkpoint, module, scheme, shape).find());
}

}  // namespace quern
