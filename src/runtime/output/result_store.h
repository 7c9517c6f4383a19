#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "quern/request.h"

namespace quern {

/// Results that wait to be taken, so many at most: those that nobody takes must not fill memory.
class ResultStore {
 public:
  explicit ResultStore(std::size_t capacity) : capacity_(capacity) {}

  void add(Result result);
  /// Hands out a result, once.
  std::optional<Result> take(RequestId id);
  /// Drops the results beyond the capacity, those of the oldest requests first.
  void trim();

 private:
  std::size_t capacity_;
  std::map<RequestId, Result> results_;
};

}  // namespace quern
