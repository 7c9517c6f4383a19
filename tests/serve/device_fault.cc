#include "tests/serve/device_fault.h"

#include "backend/node_fault.h"

namespace quern::testing {

LostDevice::LostDevice(int nth) : fault_(std::make_unique<NodeFault>(nth, true)) {}
LostDevice::~LostDevice() = default;

}  // namespace quern::testing
