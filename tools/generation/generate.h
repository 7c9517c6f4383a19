#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "quern/engine.h"

namespace quern::tools {

/// Called with each update of the request at `index`.
using UpdateObserver = std::function<void(std::size_t index, const Update& update)>;

/// Called with each finished request's result.
using ResultObserver = std::function<void(std::size_t index, const Result& result)>;

/// Callbacks of generate_all().
struct GenerateObservers {
  UpdateObserver on_update;
  ResultObserver on_result;
  std::function<bool()> interrupted;  ///< once true, all requests are cancelled
};

/// Runs all requests and returns their results in order. Errors: those of Engine::submit, naming
/// which prompt if there are several.
std::vector<Result> generate_all(Engine& engine, const std::vector<Request>& requests,
                                 const GenerateObservers& observers);

}  // namespace quern::tools
