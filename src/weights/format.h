#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace quern {

/// How ops use a weight; a backend may choose a layout for each.
enum class WeightUse : std::uint8_t {
  matrix,     ///< W in W·x
  embedding,  ///< rows looked up by id; a tied one is also the lm_head matrix
  vector,     ///< a gain or bias: always float32, one row
};

enum class ActivationRounding : std::uint8_t {
  none,
  int8,         ///< scale = max|x| / 127; x / scale is rounded to an integer, half to even
  float8_e4m3,  ///< scale = max|x| / 448; x / scale is rounded to the nearest E4M3 number
};

/// What the input of a GEMM is rounded to before it: a number becomes scale · value. The scale is
/// that of a row's group_size inputs. Source: vLLM's dynamic quantization, as compressed-tensors
/// folders are made for it.
struct ActivationFormat {
  ActivationRounding rounding = ActivationRounding::none;
  std::int64_t group_size = 0;  ///< 0: all inputs of a row

  bool operator==(const ActivationFormat&) const = default;
};

/// How a weight's numbers are stored. With scales a number is scale · (value - zero point), else
/// the value itself: a product of float32, rounded once. One scale and zero point serve a block of
/// group_rows rows and group_size inputs. Integers are unsigned; without zero points that of uint4
/// is 8, of uint8 128. float8_e4m3 has none: its zero point is 0.
struct WeightFormat {
  DType stored = DType::float32;                    ///< element type of the values
  std::optional<DType> scale_dtype = std::nullopt;  ///< nothing: no scales
  std::int64_t group_size = 0;                      ///< 0: all inputs
  std::int64_t group_rows = 1;                      ///< 0: all rows
  bool has_zero_points = false;                     ///< uint8; false: symmetric
  bool permuted_inputs = false;                     ///< see WeightComponent
  ActivationFormat activation = {};

  bool is_quantized() const { return scale_dtype.has_value(); }
  bool operator==(const WeightFormat&) const = default;
};

/// The zero point of a symmetric format.
constexpr int symmetric_zero_point(DType stored) {
  return stored == DType::uint4 ? 8 : stored == DType::uint8 ? 128 : 0;
}

/// [out_features, in_features]; a vector has out_features 1.
struct WeightShape {
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
};

/// The arrays that make up a weight.
enum class WeightComponent : std::uint8_t {
  /// [out_features, in_features] WeightFormat::stored; of uint4 a row is padded to whole bytes, and
  /// the component is one of bytes: [out_features, ⌈in_features / 2⌉] uint8
  values,
  scales,       ///< [row blocks, groups] WeightFormat::scale_dtype
  zero_points,  ///< [row blocks, groups] uint8
  /// [1, in_features] int32: stored input i is input input_permutation[i] of the op
  input_permutation,
};

/// The memory layout of a weight's components.
enum class WeightLayout : std::uint8_t {
  row_major,  ///< one component after another, each dense and row-major
  tiles,      ///< quantized values in the order of tensor-core fragments: TileGeometry
};

/// A supported element type of weight values. A new format is a row here, a case of
/// dequantize_row() and rows in the backends' kernel tables.
struct StoredType {
  DType dtype = DType::float32;
  bool has_scales = false;
};
inline constexpr std::array kStoredTypes = {
    StoredType{DType::float32},     StoredType{DType::float16},
    StoredType{DType::bfloat16},    StoredType{DType::uint4, true},
    StoredType{DType::uint8, true}, StoredType{DType::float8_e4m3, true},
};

/// "float16", or with scales "uint4 (float16 scales of 64 inputs, zero points)", "float8_e4m3
/// (float32 scales of 128 x 128)", "uint8 (float16 scales of a row)".
std::string format_name(const WeightFormat& format);

/// Errors: unsupported naming the format and what is expected: a row of kStoredTypes, nothing but
/// float32 for vectors.
void check_format(const WeightFormat& format, WeightUse use);

/// Inputs that products of integers take at a time.
inline constexpr std::int64_t kIntegerBlock = 32;

/// Whether a GEMM with a weight of this format can multiply integers: its inputs are rounded to
/// int8, with a scale for each row or block of kIntegerBlock, and its values are integers in groups
/// of whole blocks.
bool multiplies_integers(const WeightFormat& format, std::int64_t in_features);

/// The layout `tiles` of a quantized weight. A tile has kTileRows rows of tile_inputs() inputs in
/// 512 bytes; tiles of the same rows follow each other. Its 16-byte vector 4 r + t belongs to row r
/// and has four little-endian words. Word j of uint4 holds inputs 32 j + {0, 8, 16, 24} + 2 t in
/// its four lower nibbles and the inputs after these in the upper four; word j of 8 bits holds
/// inputs 16 j + 2 t + {0, 8, 1, 9} in its bytes. Rows are padded to an even number of tiles,
/// inputs to whole tiles, with zero bytes. Scales are float16, where the format's are, else
/// float32; [tile rows, groups, kTileRows], as zero points are. Blocks of rows are spread to single
/// rows.
struct TileGeometry {
  static constexpr std::int64_t kTileRows = 8;
  static constexpr std::int64_t kTileBytes = 512;

  std::int64_t tile_inputs = 0;
  std::int64_t num_tile_rows = 0;  ///< along the out features
  std::int64_t num_tiles = 0;      ///< along the inputs
  std::int64_t group_size = 0;     ///< inputs; of one group for all, the padded number
  std::int64_t num_groups = 0;     ///< of a row, those of padded inputs included
  DType scale_dtype = DType::float16;

  static TileGeometry of(const WeightFormat& format, const WeightShape& shape);
};

/// Whether a quantized format has the layout `tiles`: its groups are whole tiles, or a tile whole
/// groups of at least 32 inputs.
bool fits_tiles(const WeightFormat& format);

/// The place of one component within a weight, dense.
struct ComponentPlace {
  WeightComponent component = WeightComponent::values;
  DType dtype = DType::float32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::size_t offset = 0;  ///< bytes from the start of the weight

  std::size_t row_bytes() const { return static_cast<std::size_t>(cols) * dtype_bytes(dtype); }
  std::size_t size_bytes() const { return static_cast<std::size_t>(rows) * row_bytes(); }
};

/// The components of a weight and their places, each aligned to 16 bytes. Errors: internal for
/// sizes that overflow.
std::vector<ComponentPlace> component_places(const WeightFormat& format, const WeightShape& shape,
                                             WeightLayout layout = WeightLayout::row_major);

/// Bytes of a weight with all its components; memory plans use this too.
std::size_t storage_bytes(const WeightFormat& format, const WeightShape& shape,
                          WeightLayout layout = WeightLayout::row_major);

}  // namespace quern
