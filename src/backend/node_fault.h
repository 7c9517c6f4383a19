#pragma once

namespace quern {

/// Fault injection for tests: while it lives, the n-th node that execute() reaches in the process,
/// counted from 1, fails like a device error, and with `lasting` every one after it. One at a time.
class NodeFault {
 public:
  explicit NodeFault(int nth, bool lasting = false);
  NodeFault(const NodeFault&) = delete;
  NodeFault& operator=(const NodeFault&) = delete;
  ~NodeFault();

  /// Whether that node was reached.
  bool happened() const;
};

/// Whether the next node must fail; counts it.
bool node_must_fail();

}  // namespace quern
