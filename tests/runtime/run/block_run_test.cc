#include "tests/runtime/run/block_run.h"

namespace quern::testing {
namespace {

TEST(BlockRun, GrowthChangesNoToken) { expect_growth_changes_no_token(DeviceChoice::cpu); }
TEST(BlockRun, SharingChangesNoToken) { expect_sharing_changes_no_token(DeviceChoice::cpu); }

}  // namespace
}  // namespace quern::testing
