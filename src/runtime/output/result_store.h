#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "quern/request.h"

namespace quern {

/// Finished results that wait to be taken, up to a capacity: unclaimed ones must not fill memory.
class ResultStore {
 public:
  explicit ResultStore(std::size_t capacity) : capacity_(capacity) {}

  void add(Result result);
  /// Takes a result, once.
  std::optional<Result> take(RequestId id);
  /// Drops results beyond the capacity, those of the oldest requests first.
  void trim();

 private:
  std::size_t capacity_;
  std::map<RequestId, Result> results_;
};

}  // namespace quern
