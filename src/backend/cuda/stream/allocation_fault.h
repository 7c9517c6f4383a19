#pragma once

namespace quern::cuda {

/// For tests: while one lives, the n-th allocation of device or pinned memory in the process,
/// counted from 1, fails as if there were none left. One at a time.
class AllocationFault {
 public:
  explicit AllocationFault(int nth);
  AllocationFault(const AllocationFault&) = delete;
  AllocationFault& operator=(const AllocationFault&) = delete;
  ~AllocationFault();

  /// Whether that allocation came.
  bool happened() const;
};

/// Whether the allocation that is about to be made is to fail; counts it.
bool allocation_must_fail();

}  // namespace quern::cuda
