#include "weights/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/half.h"
#include "quern/log.h"
#include "tests/support/expect_error.h"
#include "tests/support/log_capture.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::RawTensor;
using testing::TempFolder;
using testing::write_file;

std::string stored(DType dtype, const std::vector<float>& numbers) {
  std::string bytes(numbers.size() * dtype_bytes(dtype), '\0');
  store_floats(dtype, numbers, reinterpret_cast<std::byte*>(bytes.data()));
  return bytes;
}

class LoadWeight : public ::testing::Test {
 protected:
  void write(const std::vector<RawTensor>& tensors) {
    write_file(folder_ / "model.safetensors", testing::make_safetensors(tensors));
    checkpoint_ = Checkpoint::open(folder_.path());
  }

  /// The weight's rows as floats; the buffer ends where the weight does.
  std::vector<std::vector<float>> load(const WeightSpec& spec, DType dtype) {
    buffer_.assign(spec.out_features * spec.in_features * dtype_bytes(dtype), std::byte{});
    const WeightFormat format = {.stored = dtype};
    NumberWarnings warnings;
    const auto sink = [&](const WeightSource& source) {
      const RowReader& read = source.reader(WeightComponent::values);
      const std::int64_t row_bytes = source.shape.in_features * dtype_bytes(dtype);
      for (std::int64_t row = 0; row < source.shape.out_features; row += band_rows_) {
        read(row, std::min(band_rows_, source.shape.out_features - row),
             buffer_.data() + row * row_bytes);
      }
      return row_major_weight(source.format, source.shape, buffer_.data(), Device{});
    };
    const Weight weight = load_weight(*checkpoint_, spec, format, warnings, sink);
    warnings.log_all("model");
    EXPECT_EQ(weight.values.data, buffer_.data());
    EXPECT_EQ(weight.values.dtype, dtype);
    EXPECT_EQ(weight.values.rows, spec.out_features);
    EXPECT_EQ(weight.values.cols, spec.in_features);
    EXPECT_EQ(weight.format, format);
    std::vector<std::vector<float>> rows;
    for (std::int64_t row = 0; row < weight.out_features; ++row) {
      rows.emplace_back(weight.in_features);
      dequantize_row(weight, row, rows.back());
    }
    return rows;
  }

  void expect_refused(const WeightSpec& spec, std::initializer_list<std::string_view> facts,
                      ErrorCode code = ErrorCode::bad_file) {
    testing::expect_error(code, facts, [&] { load(spec, DType::float32); });
  }

  const TempFolder folder_;
  std::optional<Checkpoint> checkpoint_;
  std::vector<std::byte> buffer_;
  std::int64_t band_rows_ = 100;
};

using Rows = std::vector<std::vector<float>>;

TEST_F(LoadWeight, StacksPartsOfAnyType) {
  write({{"q", "F32", {2, 3}, stored(DType::float32, {1, 2, 3, 4, 5, 6})},
         {"k", "F16", {1, 3}, stored(DType::float16, {7, 8, 9})},
         {"v", "BF16", {1, 3}, stored(DType::bfloat16, {10, 11, 12})}});
  const WeightSpec spec{
      "layers.0.qkv", WeightUse::matrix, 4, 3, {{"q", {2, 3}}, {"k", {1, 3}}, {"v", {1, 3}}}};
  const Rows expected = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}};
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    EXPECT_EQ(load(spec, dtype), expected) << dtype_name(dtype);
  }
}

TEST_F(LoadWeight, TransposesPartsThatAreStoredSo) {
  write({{"fc", "F16", {2, 3}, stored(DType::float16, {1, 2, 3, 4, 5, 6})},
         {"more", "F16", {1, 2}, stored(DType::float16, {7, 8})}});
  const WeightSpec spec{"up", WeightUse::matrix, 4, 2, {{"fc", {2, 3}, true}, {"more", {1, 2}}}};
  EXPECT_EQ(load(spec, DType::float16), (Rows{{1, 4}, {2, 5}, {3, 6}, {7, 8}}));
}

TEST_F(LoadWeight, ReadsAnyBandOfRows) {
  write({{"a", "F16", {3, 2}, stored(DType::float16, {1, 2, 3, 4, 5, 6})},
         {"fc", "F16", {2, 3}, stored(DType::float16, {7, 9, 11, 8, 10, 12})},
         {"b", "F16", {1, 2}, stored(DType::float16, {13, 14})}});
  const WeightSpec spec{
      "up", WeightUse::matrix, 7, 2, {{"a", {3, 2}}, {"fc", {2, 3}, true}, {"b", {1, 2}}}};
  for (band_rows_ = 1; band_rows_ <= 7; ++band_rows_) {
    EXPECT_EQ(load(spec, DType::float32),
              (Rows{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}, {11, 12}, {13, 14}}))
        << band_rows_;
  }
}

TEST_F(LoadWeight, JoinsVectors) {
  write({{"q", "F16", {2}, stored(DType::float16, {1, 2})},
         {"k", "F16", {3}, stored(DType::float16, {3, 4, 5})}});
  const WeightSpec spec{"bias", WeightUse::vector, 1, 5, {{"q", {2}}, {"k", {3}}}};
  EXPECT_EQ(load(spec, DType::float32), (Rows{{1, 2, 3, 4, 5}}));
}

TEST_F(LoadWeight, MayBeLoadedTwice) {
  write({{"wte", "F16", {2, 1}, stored(DType::float16, {1, 2})}});
  const WeightSpec spec{"embedding", WeightUse::embedding, 2, 1, {{"wte", {2, 1}}}};
  EXPECT_EQ(load(spec, DType::float32), load(spec, DType::float16));
}

TEST_F(LoadWeight, LogsOverflowWithItsCount) {
  write({{"w", "F32", {1, 4}, stored(DType::float32, {1e6f, -7e4f, 65504.0f, 1})}});
  std::vector<std::string> lines;
  set_log_sink([&](LogLevel level, std::string_view message) {
    EXPECT_EQ(level, LogLevel::warning);
    lines.emplace_back(message);
  });
  const WeightSpec spec{"layers.1.down", WeightUse::matrix, 1, 4, {{"w", {1, 4}}}};
  EXPECT_EQ(load(spec, DType::float16), (Rows{{INFINITY, -INFINITY, 65504.0f, 1}}));
  load(spec, DType::float32);
  set_log_sink({});
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0],
            "layers.1.down: 2 of 4 numbers are too large for float16 and become infinite");
}

TEST_F(LoadWeight, LogsNumbersThatAreNotFinite) {
  const std::vector<float> numbers = {1, NAN, 65504.0f, -INFINITY, 3e38f, INFINITY};
  write({{"a", "F32", {2, 3}, stored(DType::float32, numbers)},
         {"b", "F16", {1, 3}, stored(DType::float16, {NAN, 1, 2})},
         {"c", "BF16", {3, 1}, stored(DType::bfloat16, {INFINITY, 1, 3e38f})}});
  const WeightSpec spec{
      "up", WeightUse::matrix, 4, 3, {{"a", {2, 3}}, {"b", {1, 3}}, {"c", {3, 1}, true}}};
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    for (band_rows_ = 1; band_rows_ <= 4; ++band_rows_) {
      const testing::LogCapture log;
      load(spec, dtype);
      EXPECT_TRUE(
          log.has("model: 3 tensors have numbers that are not finite: 'a' (3 of 6), 'b' "
                  "(1 of 3), 'c' (1 of 3)"))
          << log.text();
    }
  }
  const testing::LogCapture log;
  load({"b", WeightUse::matrix, 1, 3, {{"b", {1, 3}}}}, DType::float32);
  EXPECT_TRUE(log.has("model.safetensors: tensor 'b': 1 of 3 numbers are not finite"));
}

TEST(NumberWarnings, ManyTensorsAreOneLineOfEachKind) {
  NumberWarnings warnings;
  for (int i = 0; i < 300; ++i) {
    warnings.add_nonfinite("m.safetensors", "'t" + std::to_string(i) + "'", {i, 1000});
    warnings.add_overflow("layers." + std::to_string(i) + ".up", "float16", {1, 4});
  }
  const testing::LogCapture log;
  warnings.log_all("folder");
  EXPECT_EQ(log.text(),
            "folder: 299 tensors have numbers that are not finite: 't1' (1 of 1000), 't2' (2 of "
            "1000), 't3' (3 of 1000), …\n"
            "folder: 300 tensors have numbers that are too large for float16 and become infinite: "
            "layers.0.up (1 of 4), layers.1.up (1 of 4), layers.2.up (1 of 4), …\n");
}

TEST_F(LoadWeight, NarrowsFloat64) {
  const std::vector<double> numbers = {1.5, -2, 1e300, 0.1, NAN, 1 + 1e-12};
  write({{"w", "F64", {2, 3}, testing::bytes_of(numbers)},
         {"t", "F64", {3, 1}, testing::bytes_of(std::vector<double>{4, 5, 6})}});
  const WeightSpec spec{"w", WeightUse::matrix, 3, 3, {{"w", {2, 3}}, {"t", {3, 1}, true}}};
  EXPECT_EQ(stored_format(spec, *checkpoint_, DType::float32).stored, DType::float32);
  const testing::LogCapture log;
  Rows rows = load(spec, DType::float32);
  EXPECT_TRUE(std::isnan(rows[1][1]));
  rows[1][1] = 0;
  EXPECT_EQ(rows, (Rows{{1.5f, -2, INFINITY}, {0.1f, 0, 1}, {4, 5, 6}}));
  EXPECT_TRUE(log.has("tensor 'w': 1 of 6 numbers are not finite")) << log.text();
  EXPECT_TRUE(log.has("tensor 'w': 1 of 6 numbers are too large for float32")) << log.text();
}

TEST_F(LoadWeight, ReadsLongTensorsInBlocks) {
  const std::int64_t cols = 100'000;
  std::vector<float> numbers(static_cast<std::size_t>(3 * cols));
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 2048);
  write({{"w", "F16", {3, cols}, stored(DType::float16, numbers)}});
  const WeightSpec spec{"w", WeightUse::matrix, 3, cols, {{"w", {3, cols}}}};
  for (const DType dtype : {DType::float32, DType::float16}) {
    const Rows rows = load(spec, dtype);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      ASSERT_EQ(rows[i / cols][i % cols], numbers[i]) << i;
    }
  }
}

TEST_F(LoadWeight, MissingTensorsAreNamed) {
  write({{"a", "F32", {1, 1}, stored(DType::float32, {1})}});
  expect_refused({"layers.0.o", WeightUse::matrix, 1, 1, {{"model.o_proj.weight", {1, 1}}}},
                 {folder_.path().string(), "no tensor 'model.o_proj.weight'", "layers.0.o"});
}

TEST_F(LoadWeight, WrongShapesAreNamed) {
  write({{"a", "F32", {2, 3}, stored(DType::float32, {1, 2, 3, 4, 5, 6})}});
  expect_refused({"w", WeightUse::matrix, 3, 2, {{"a", {3, 2}}}},
                 {"model.safetensors: tensor 'a': expected shape [3, 2], got [2, 3]"});
  expect_refused({"w", WeightUse::vector, 1, 6, {{"a", {6}}}}, {"expected shape [6], got [2, 3]"});
}

TEST_F(LoadWeight, WrongTypesAreNamed) {
  write({{"i", "I32", {1, 1}, "1234"}});
  expect_refused({"w", WeightUse::matrix, 1, 1, {{"i", {1, 1}}}},
                 {"model.safetensors: tensor 'i': expected F32, F16, BF16 or F64, got I32"});
}

TEST_F(LoadWeight, NothingIsCopiedBeforeAllPartsAreChecked) {
  write({{"good", "F32", {1, 1}, stored(DType::float32, {5})}, {"bad", "I32", {1, 1}, "1234"}});
  expect_refused({"w", WeightUse::matrix, 2, 1, {{"good", {1, 1}}, {"bad", {1, 1}}}}, {"'bad'"});
  EXPECT_EQ(buffer_, std::vector<std::byte>(8));
}

TEST_F(LoadWeight, SpecsThatDoNotAddUpAreBugs) {
  write({{"a", "F32", {2, 3}, stored(DType::float32, {1, 2, 3, 4, 5, 6})}});
  const auto code = ErrorCode::internal;
  expect_refused({"w", WeightUse::matrix, 3, 3, {{"a", {2, 3}}}}, {"w: 6 of 3 x 3"}, code);
  expect_refused({"w", WeightUse::matrix, 3, 2, {{"a", {2, 3}}}}, {"w: [2, 3]"}, code);
  expect_refused({"w", WeightUse::matrix, 2, 3, {{"a", {2, 3}, true}}}, {"w: [2, 3]"}, code);
  expect_refused({"w", WeightUse::matrix, 1, 6, {{"a", {6}}}}, {"w: [6]"}, code);
  expect_refused({"w", WeightUse::vector, 1, 5, {{"a", {2, 3}}}}, {"w: 6 of 1 x 5"}, code);
}

TEST_F(LoadWeight, StoredTypeFollowsUseActivationAndCheckpoint) {
  write({{"h", "F16", {1, 1}, "12"}, {"b", "BF16", {1, 1}, "12"}, {"i", "I32", {1, 1}, "1234"}});
  const auto spec = [](WeightUse use, const std::vector<std::string>& names) {
    WeightSpec result{"w", use, std::ssize(names), 1, {}};
    for (const std::string& name : names) result.parts.push_back({name, {1, 1}});
    return result;
  };
  const auto matrix = WeightUse::matrix;
  EXPECT_EQ(stored_format(spec(WeightUse::vector, {"h"}), *checkpoint_, DType::float16),
            WeightFormat{.stored = DType::float32});
  EXPECT_EQ(stored_format(spec(matrix, {"h"}), *checkpoint_, DType::bfloat16),
            WeightFormat{.stored = DType::bfloat16});
  EXPECT_EQ(stored_format(spec(matrix, {"b"}), *checkpoint_, DType::float16),
            WeightFormat{.stored = DType::float16});
  EXPECT_EQ(stored_format(spec(matrix, {"h"}), *checkpoint_, DType::float32),
            WeightFormat{.stored = DType::float16});
  EXPECT_EQ(stored_format(spec(WeightUse::embedding, {"b", "b"}), *checkpoint_, DType::float32),
            WeightFormat{.stored = DType::bfloat16});
  EXPECT_EQ(stored_format(spec(matrix, {"h", "b"}), *checkpoint_, DType::float32),
            WeightFormat{.stored = DType::float32});
  EXPECT_EQ(stored_format(spec(matrix, {"h", "b", "h"}), *checkpoint_, DType::float32),
            WeightFormat{.stored = DType::float32});
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"'i'", "got I32"}),
                     stored_format(spec(matrix, {"i"}), *checkpoint_, DType::float32));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"no tensor 'none'"}),
                     stored_format(spec(matrix, {"none"}), *checkpoint_, DType::float32));
}

}  // namespace
}  // namespace quern
