#pragma once

#include "backend/backend.h"

namespace quern {

/// RAII range for the device's profilers (NVTX).
class TraceRange {
 public:
  TraceRange(Backend& backend, const char* name) : backend_(backend) { backend_.push_range(name); }
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;
  ~TraceRange() { backend_.pop_range(); }

 private:
  Backend& backend_;
};

}  // namespace quern
