#pragma once

#include <memory>

namespace quern {

class NodeFault;

namespace testing {

/// A lasting NodeFault, for tests that may not know of backends.
class LostDevice {
 public:
  /// From its n-th node on, counted from 1, the device fails.
  explicit LostDevice(int nth);
  ~LostDevice();

 private:
  std::unique_ptr<NodeFault> fault_;
};

}  // namespace testing
}  // namespace quern
