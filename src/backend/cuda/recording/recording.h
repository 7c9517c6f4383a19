#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/ops/ops.h"
#include "backend/cuda/stream/stream.h"
#include "base/memory/buffer.h"

namespace quern::cuda {

/// Captures the launches of `step` on context.stream as a CUDA graph that is replayed on `stream`;
/// nothing runs during capture. A device loop's step becomes the body of a WHILE node, with its
/// condition in `context` for the step's ops. `stream` outlives the recording, which keeps the
/// memory that `step` returns. Errors: what `step` throws; device, naming the call.
std::unique_ptr<Recording> record_graph(const Stream& stream, OpContext& context,
                                        const std::function<std::vector<Buffer>()>& step,
                                        RecordedLoop loop);

/// An upper estimate of the device memory of a recording of `num_nodes` nodes.
std::size_t recording_bytes(std::size_t num_nodes, RecordedLoop loop);

/// Why the driver cannot run a device loop; empty when it can.
std::string device_loop_obstacle();

}  // namespace quern::cuda
