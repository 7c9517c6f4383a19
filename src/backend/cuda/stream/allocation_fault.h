#pragma once

namespace quern::cuda {

/// Fault injection for tests: while it lives, the n-th allocation of device or pinned memory in the
/// process, counted from 1, fails as out of memory. One at a time.
class AllocationFault {
 public:
  explicit AllocationFault(int nth);
  AllocationFault(const AllocationFault&) = delete;
  AllocationFault& operator=(const AllocationFault&) = delete;
  ~AllocationFault();

  /// Whether that allocation was reached.
  bool happened() const;
};

/// Whether the next allocation must fail; counts it.
bool allocation_must_fail();

}  // namespace quern::cuda
