#include "backend/cpu/cpu_backend.h"
#include "tests/backend/conformance/backends.h"

namespace quern::testing {

std::vector<BackendUnderTest> backends_under_test() {
  return {{"cpu", [] { return make_cpu_backend(1); }},
          {"cpu_threads", [] { return make_cpu_backend(3); }}};
}

}  // namespace quern::testing
