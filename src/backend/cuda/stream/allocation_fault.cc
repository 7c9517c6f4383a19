#include "backend/cuda/stream/allocation_fault.h"

#include <atomic>

namespace quern::cuda {
namespace {

/// Allocations left until the one that fails; 0 or less: none will fail.
// Global because allocations are made in many places; outside tests it stays 0.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<int> allocations_left = 0;

}  // namespace

AllocationFault::AllocationFault(int nth) { allocations_left = nth; }
AllocationFault::~AllocationFault() { allocations_left = 0; }
bool AllocationFault::happened() const { return allocations_left <= 0; }

bool allocation_must_fail() { return allocations_left > 0 && --allocations_left == 0; }

}  // namespace quern::cuda
