#pragma once

namespace quern {

/// For tests: while one lives, the n-th node that execute() comes to in the process, counted from
/// 1, fails as if the device had, and with `lasting` every one after it. One at a time.
class NodeFault {
 public:
  explicit NodeFault(int nth, bool lasting = false);
  NodeFault(const NodeFault&) = delete;
  NodeFault& operator=(const NodeFault&) = delete;
  ~NodeFault();

  /// Whether that node came.
  bool happened() const;
};

/// Whether the node that is about to run is to fail; counts it.
bool node_must_fail();

}  // namespace quern
