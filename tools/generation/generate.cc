#include "tools/generation/generate.h"

#include <optional>
#include <unordered_map>
#include <utility>

#include "tools/cli/fail.h"

namespace quern::tools {
namespace {

std::unordered_map<RequestId, std::size_t> submit_all(Engine& engine,
                                                      const std::vector<Request>& requests) {
  std::unordered_map<RequestId, std::size_t> indices;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    try {
      indices.emplace(engine.submit(requests[i]), i);
    } catch (const Error& error) {
      if (requests.size() == 1) throw;
      fail(error.code(), "prompt {} of {}: {}", i + 1, requests.size(), error.what());
    }
  }
  return indices;
}

}  // namespace

std::vector<Result> generate_all(Engine& engine, const std::vector<Request>& requests,
                                 const GenerateObservers& observers) {
  const auto indices = submit_all(engine, requests);
  std::vector<Result> results(requests.size());
  bool cancelled = false;
  while (engine.busy()) {
    if (!cancelled && observers.interrupted()) {
      for (const auto& [id, index] : indices) engine.cancel(id);
      cancelled = true;
    }
    for (const Update& update : engine.step()) {
      const std::size_t index = indices.at(update.id);
      observers.on_update(index, update);
      if (!update.last) continue;
      std::optional<Result> result = engine.take_result(update.id);
      results[index] = std::move(result).value();
      observers.on_result(index, results[index]);
    }
  }
  return results;
}

}  // namespace quern::tools
