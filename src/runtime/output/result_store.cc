#include "runtime/output/result_store.h"

#include <utility>

namespace quern {

void ResultStore::add(Result result) {
  const RequestId id = result.id;
  results_.emplace(id, std::move(result));
}

std::optional<Result> ResultStore::take(RequestId id) {
  auto node = results_.extract(id);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

void ResultStore::trim() {
  while (results_.size() > capacity_) results_.erase(results_.begin());
}

}  // namespace quern
