#include "kernels/common/dispatch.h"

#include <gtest/gtest.h>

#include <string>

#include "kernels/common/errors.h"
#include "kernels/quant/dispatch_stored.h"

namespace quern::testing {
namespace {

template <typename Dispatch>
std::string error_of(const Dispatch& dispatch) {
  try {
    dispatch();
  } catch (const kernels::DispatchError& error) {
    return error.what();
  }
  return "";
}

TEST(DispatchTest, CallsTheBodyOfTheValue) {
  int found = 0;
  kernels::dispatch_value(std::integer_sequence<int, 1, 2, 4>(), 2, "attention", "warps",
                          [&]<int kWarps>() { found = kWarps; });
  EXPECT_EQ(found, 2);
}

TEST(DispatchTest, ErrorsNameTheKernelAndTheLegalValues) {
  EXPECT_EQ(error_of([] {
              kernels::dispatch_value(std::integer_sequence<int, 1, 2, 4>(), 3, "attention",
                                      "warps", []<int kWarps>() {});
            }),
            "attention: warps: expected one of 1, 2, 4, got 3");
  EXPECT_EQ(error_of([] { kernels::dispatch_half(DType::float32, "mma", []<typename T>() {}); }),
            "mma: dtype: expected float16 or bfloat16, got float32");
  EXPECT_EQ(error_of([] { kernels::dispatch_float(DType::int64, "norm", []<typename T>() {}); }),
            "norm: dtype: expected float32, float16 or bfloat16, got int64");
  EXPECT_EQ(
      error_of([] { kernels::dispatch_stored(DType::int32, "gemv", []<DType kStored>() {}); }),
      "gemv: weight: expected uint4, uint8 or float8_e4m3, got int32");
}

}  // namespace
}  // namespace quern::testing
