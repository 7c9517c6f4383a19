#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "weights/random.h"

namespace quern::testing {
namespace {

class RandomFillConformance : public TypedBackendTest {
 protected:
  /// Checks that the backend's fill_random() equals the host's bit for bit and writes nothing else.
  void check(const RandomRun& run, std::size_t num_elements) {
    SCOPED_TRACE(::testing::Message() << "first " << run.first << ", source " << run.source
                                      << ", stride " << run.stride << ", count " << run.count);
    GuardedBuffer buffer(*backend_, num_elements * dtype_bytes(dtype()));
    std::vector<std::byte> expected = buffer.read();
    fill_random(run, dtype(), expected.data());
    backend_->fill_random(run, dtype(), buffer.data());
    EXPECT_EQ(buffer.read(), expected);
    EXPECT_TRUE(buffer.guards_intact());
  }
};

TEST_P(RandomFillConformance, GivesWhatTheHostGives) {
  RandomRun run;
  run.key = random_key(1, "layers.0.qkv");
  for (const std::int64_t count : {0, 1, 3, 15, 16, 17, 4096, 100003}) {
    run.count = count;
    run.scale = 0x1p-13f;
    check(run, static_cast<std::size_t>(count));
  }
  run.count = 3 << 20;  // several chunks of several threads
  check(run, 3 << 20);
  run.bits = 4;
  run.offset = 1.0f;
  run.scale = 0x1p-7f;
  check(run, 3 << 20);
  run.scale = 0.1f;  // rounds in the product and in the sum
  check(run, 3 << 20);
}

TEST_P(RandomFillConformance, RowsAndColumns) {
  RandomRun run;
  run.key = random_key(2, "layers.0.down");
  run.scale = -0.5f;
  for (const std::int64_t cols : {64, 67}) {
    run.stride = 1;  // a row
    run.count = cols;
    run.first = 9 * cols;
    run.source = 5 * cols;
    check(run, static_cast<std::size_t>(40 * cols));
    run.stride = cols;  // a column
    run.count = 40;
    run.first = 9;
    run.source = 5;
    check(run, static_cast<std::size_t>(40 * cols));
  }
}

QUERN_INSTANTIATE_TYPED(RandomFillConformance);

}  // namespace
}  // namespace quern::testing
