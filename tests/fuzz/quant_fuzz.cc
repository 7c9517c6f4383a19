// A quantization config and tensors: two bytes are the length of the config's text, which follows;
// the rest is model.safetensors. What is accepted of the module "m" is read whole, alone and joined
// with itself, and dequantized.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/checkpoint.h"
#include "tests/fuzz/folder_of_input.h"
#include "weights/quant/join.h"

namespace {

constexpr quern::WeightShape kShape = {32, 48};

void read_module(const quern::Checkpoint& checkpoint, const quern::QuantScheme& scheme) {
  const auto tensor = quern::find_quantized(checkpoint, "m", scheme, kShape);
  std::vector<float> numbers(static_cast<std::size_t>(kShape.out_features * kShape.in_features));
  quern::DequantizingReader(*tensor).read(0, kShape.out_features, quern::DType::float32,
                                          reinterpret_cast<std::byte*>(numbers.data()));
  const std::array parts = {tensor.get(), tensor.get()};
  const auto format = quern::joined_format(parts);
  if (!format) __builtin_trap();
  const quern::WeightShape shape = {2 * kShape.out_features, kShape.in_features};
  const quern::JoinedReader reader(parts, *format);
  std::vector<std::byte> bytes(quern::storage_bytes(*format, shape));
  for (const auto& place : quern::component_places(*format, shape)) {
    reader.read(place.component, 0, place.rows, bytes.data() + place.offset);
  }
  const quern::Weight weight =
      quern::row_major_weight(*format, shape, bytes.data(), quern::Device{});
  std::vector<float> row(static_cast<std::size_t>(kShape.in_features));
  for (std::int64_t i = 0; i < shape.out_features; ++i) {
    quern::dequantize_row(weight, i, row);
    const float* expected = numbers.data() + i % kShape.out_features * kShape.in_features;
    for (std::size_t j = 0; j < row.size(); ++j) {
      // NaN of float8 is not equal to itself.
      if (row[j] != expected[j] && row[j] == row[j]) __builtin_trap();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = quern::fuzz::make_folder();
  if (size < 2) return -1;
  const std::size_t length = std::min<std::size_t>(data[0] | data[1] << 8, size - 2);
  const std::string_view text(reinterpret_cast<const char*>(data + 2), length);
  quern::fuzz::write_file(
      folder / "model.safetensors",
      std::string_view(reinterpret_cast<const char*>(data), size).substr(2 + length));
  try {
    const quern::Json json = quern::parse_json(text, "config.json");
    const auto config = quern::QuantizationConfig::parse(quern::JsonObject(json, "config.json"));
    const auto scheme = config.scheme("m");
    if (!scheme) return 0;
    read_module(quern::Checkpoint::open(folder), *scheme);
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
