#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "backend/backend.h"
#include "base/half.h"

namespace quern::testing {

/// A backend under conformance test.
struct BackendUnderTest {
  std::string name;
  std::function<std::unique_ptr<Backend>()> make;
  /// Why this machine cannot run it, empty where it can; null: always available.
  std::function<std::string()> unavailable_reason = nullptr;

  std::string reason_to_skip() const { return unavailable_reason ? unavailable_reason() : ""; }
};

inline void PrintTo(const BackendUnderTest& backend, std::ostream* stream) {
  *stream << backend.name;
}

/// Defined by each test program that compiles the suite.
std::vector<BackendUnderTest> backends_under_test();

/// A test that runs once per backend.
class BackendTest : public ::testing::TestWithParam<BackendUnderTest> {
 protected:
  void SetUp() override {
    const std::string reason = GetParam().reason_to_skip();
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = GetParam().make();
  }

  std::unique_ptr<Backend> backend_;
};

/// A test that runs once per backend and activation dtype.
class TypedBackendTest : public ::testing::TestWithParam<std::tuple<BackendUnderTest, DType>> {
 protected:
  void SetUp() override {
    const BackendUnderTest& backend = std::get<0>(GetParam());
    const std::string reason = backend.reason_to_skip();
    if (!reason.empty()) GTEST_SKIP() << reason;
    backend_ = backend.make();
  }

  DType dtype() const { return std::get<1>(GetParam()); }

  /// `count` integers from -2 to 2 in the test's dtype, on the device: sums of products are exact.
  Buffer integers(std::int64_t count, std::uint32_t seed) const {
    std::mt19937 engine(seed);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = static_cast<float>(engine() % 5) - 2.0f;
    std::vector<std::byte> content(values.size() * dtype_bytes(dtype()));
    store_floats(dtype(), values, content.data());
    Buffer buffer = backend_->allocate(content.size(), "test");
    backend_->copy_in(buffer.data(), content.data(), content.size());
    return buffer;
  }

  std::unique_ptr<Backend> backend_;
};

inline std::string backend_test_name(const ::testing::TestParamInfo<BackendUnderTest>& info) {
  return info.param.name;
}

inline std::string typed_test_name(
    const ::testing::TestParamInfo<std::tuple<BackendUnderTest, DType>>& info) {
  return std::get<0>(info.param).name + "_" + dtype_name(std::get<1>(info.param));
}

/// Instantiates a suite derived from TypedBackendTest.
#define QUERN_INSTANTIATE_TYPED(suite)                                                        \
  INSTANTIATE_TEST_SUITE_P(                                                                   \
      Conformance, suite,                                                                     \
      ::testing::Combine(::testing::ValuesIn(backends_under_test()),                          \
                         ::testing::Values(DType::float32, DType::float16, DType::bfloat16)), \
      typed_test_name)

/// Instantiates a suite derived from BackendTest.
#define QUERN_INSTANTIATE(suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(Conformance, suite, ::testing::ValuesIn(backends_under_test()), \
                           backend_test_name)

}  // namespace quern::testing
