#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/ops/ops.h"
#include "backend/cuda/stream/stream.h"

namespace quern::cuda {

/// Captures what `step` launches on context.stream as a CUDA graph, whose replays go to `stream`;
/// nothing runs meanwhile. A device loop's step becomes the body of a WHILE node, whose condition
/// `context` tells the step's ops. `stream` outlives the recording. Errors: what `step` throws;
/// device, naming the call.
std::unique_ptr<Recording> record_graph(const Stream& stream, OpContext& context,
                                        const std::function<void()>& step, RecordedLoop loop);

/// An estimate from above of the device memory of one recording of so many nodes.
std::size_t recording_bytes(std::size_t num_nodes, RecordedLoop loop);

/// Why the driver cannot run a device loop; empty when it can.
std::string device_loop_obstacle();

}  // namespace quern::cuda
