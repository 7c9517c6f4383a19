#pragma once

#include <functional>
#include <memory>

#include "backend/backend.h"
#include "backend/cuda/stream.h"

namespace quern::cuda {

/// Captures what `step` launches on the stream as a CUDA graph; nothing runs meanwhile. The stream
/// outlives the recording. Errors: what `step` throws; device, naming the call.
std::unique_ptr<Recording> record_graph(const Stream& stream, const std::function<void()>& step);

}  // namespace quern::cuda
