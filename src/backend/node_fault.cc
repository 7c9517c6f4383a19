#include "backend/node_fault.h"

#include <atomic>

namespace quern {
namespace {

/// Nodes left until the one that fails; 0 or less: none will fail.
// Global because a test has no other way into an engine; outside tests both are constant.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> nodes_left = 0;
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> fault_lasts = false;

}  // namespace

NodeFault::NodeFault(int nth, bool lasting) {
  fault_lasts = lasting;
  nodes_left = nth;
}
NodeFault::~NodeFault() {
  nodes_left = 0;
  fault_lasts = false;
}
bool NodeFault::happened() const { return nodes_left <= 0; }

bool node_must_fail() {
  if (nodes_left > 0) return --nodes_left == 0;
  return fault_lasts;
}

}  // namespace quern
