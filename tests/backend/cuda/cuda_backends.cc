#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/driver/device_query.h"
#include "tests/backend/conformance/backends.h"

namespace quern::testing {

std::vector<BackendUnderTest> backends_under_test() {
  return {
      {"cuda", [] { return make_cuda_backend(); }, [] { return query_cuda().unavailable_reason; }}};
}

}  // namespace quern::testing
