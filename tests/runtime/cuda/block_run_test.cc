#include "tests/runtime/run/block_run.h"

#include "tests/runtime/cuda/gpu_engine.h"

namespace quern::testing {
namespace {

class GpuBlockRun : public GpuEngineTest {};

TEST_F(GpuBlockRun, GrowthChangesNoToken) { expect_growth_changes_no_token(DeviceChoice::cuda); }
TEST_F(GpuBlockRun, SharingChangesNoToken) { expect_sharing_changes_no_token(DeviceChoice::cuda); }

}  // namespace
}  // namespace quern::testing
