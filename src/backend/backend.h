#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "base/buffer.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/op.h"
#include "graph/step.h"
#include "weights/random.h"

namespace quern {

/// A closed step made ready to run again and again without host work.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Runs the step `times` times. Does not wait for the device.
  virtual void replay(int times) = 0;
};

/// Interprets ops on one device. Work is ordered: each call sees the effects of those before it.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;
  virtual Device device() const = 0;

  // One per alternative of Op; see op.h for the contract.
  virtual void run(const Embed& op, const Step& step) = 0;
  virtual void run(const NormLinear& op, const Step& step) = 0;
  virtual void run(const Attention& op, const Step& step) = 0;
  virtual void run(const Linear& op, const Step& step) = 0;
  virtual void run(const AllReduce& op, const Step& step) = 0;
  virtual void run(const AllGather& op, const Step& step) = 0;
  virtual void run(const Sample& op, const Step& step) = 0;
  virtual void run(const Advance& op, const Step& step) = 0;

  /// Scratch bytes that the op needs at the limits. Step::workspace is the largest over the graph.
  virtual std::size_t workspace_bytes(const Op& op, const Graph& graph,
                                      const Limits& limits) const = 0;

  /// Bytes that are free on the device, or on the host for what the process may take.
  virtual std::uint64_t available_bytes() const = 0;
  /// Zeroed memory on the device. Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate(std::size_t size_bytes, const char* what) = 0;
  /// Copies between host and device. copy_out waits until the data is there.
  virtual void copy_in(void* device_destination, const void* host_source,
                       std::size_t size_bytes) = 0;
  virtual void copy_out(void* host_destination, const void* device_source,
                        std::size_t size_bytes) = 0;

  /// Bytes that `upload` takes from the weight arena for this weight, stored as `stored`.
  virtual std::size_t upload_bytes(const WeightSpec& spec, DType stored) const = 0;
  /// Reads a weight, by several threads where that helps, and brings it to `destination`, perhaps
  /// in another layout.
  virtual Weight upload(const WeightSource& source, std::byte* destination) = 0;

  /// Fills elements of the weight at `weight`, in plain layout on the device, with random numbers,
  /// the same on every backend; see weights/random.h.
  virtual void fill_random(const RandomRun& run, DType dtype, std::byte* weight) = 0;

  /// Makes a step ready for replay. `step` calls run() on this backend and nothing else.
  virtual std::unique_ptr<Recording> record(std::function<void()> step) = 0;
};

}  // namespace quern
