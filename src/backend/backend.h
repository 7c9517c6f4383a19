#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "backend/memory.h"
#include "backend/recording.h"
#include "backend/stopwatch.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/op.h"
#include "graph/step.h"
#include "weights/random.h"
#include "weights/source.h"
#include "weights/weight.h"

namespace quern {

/// Executes ops on one device. Work is ordered: each call sees the effects of earlier ones.
class Backend : public DeviceMemory {
 public:
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

  /// Refuses an op that steps within the limits could not run: what follows from the model, the
  /// limits and the device is reported before anything is allocated, not by the first step. Errors:
  /// unsupported naming the value and the legal ones.
  virtual void check(const Op& /*op*/, const Graph& /*graph*/, const Limits& /*limits*/) const {}

  /// Scratch bytes that the op needs at the limits. Step::workspace is the largest over the graph.
  virtual std::size_t workspace_bytes(const Op& op, const Graph& graph,
                                      const Limits& limits) const = 0;

  /// Copies KV blocks in all layers, keys and values, in stream order. No block may be the
  /// destination of two copies, or both a source and a destination. Cost: twice the bytes of the
  /// blocks. Errors: internal for such pairs and for blocks outside the cache.
  virtual void copy_blocks(const KvCacheView& cache, std::span<const BlockCopy> copies) = 0;

  /// Whether work goes on after the call that launches it has returned, so that it pays to launch
  /// the next before the results of the last are known.
  virtual bool is_asynchronous() const { return false; }
  /// Waits until all work is done. Errors: device, for asynchronous errors of that work.
  virtual void wait() = 0;
  /// Waits until a word in shared memory is at least `value`; false when all work is done and it is
  /// not. Errors: as wait(); device also when work is in flight and the word has not changed for
  /// `patience` of this process's running time: the device counts as hung, and every later call
  /// fails with this error. `meanwhile`: called again and again while it waits; it must be quick.
  virtual bool wait_until(const std::int64_t* shared_word, std::int64_t value,
                          std::chrono::milliseconds patience,
                          const std::function<void()>& meanwhile = {}) = 0;
  /// Number of host waits for all of the device's work, in any call.
  virtual std::uint64_t num_waits() const = 0;

  /// The layout in which this backend's kernels read a weight; storage_bytes() gives its size.
  /// Errors: unsupported naming the format and the supported ones.
  virtual WeightLayout prepare(const WeightFormat& format, WeightUse use) const = 0;
  /// Reads a weight, multi-threaded where that helps, and uploads its components to `destination`
  /// in the layout of prepare().
  virtual Weight upload(const WeightSource& source, WeightLayout layout,
                        std::byte* destination) = 0;

  /// Fills elements of a row-major weight without scales at `weight`, on the device, with random
  /// numbers, the same on every backend; see weights/random.h.
  virtual void fill_random(const RandomRun& run, DType dtype, std::byte* weight) = 0;
  /// The same for all of a weight in a load_time_format(), from its first element on: random
  /// numbers, quantized as QuantizingReader does. `name`: for errors. This function does it on the
  /// host. Errors: those of upload() and QuantizingReader.
  virtual void fill_random_quantized(const RandomRun& run, const Weight& weight,
                                     std::string_view name);

  /// Opens a named range for the device's profilers (NVTX), where there are any, until pop.
  virtual void push_range(const char* /*name*/) {}
  virtual void pop_range() {}
  virtual std::unique_ptr<Stopwatch> make_stopwatch() = 0;
  /// Measured memory read bandwidth in GB/s; takes a few milliseconds. Errors: out_of_memory.
  virtual double measure_read_gbps() = 0;
  /// Measured TFLOP/s of a large dense GEMM of `dtype` with random numbers: a library's on a GPU;
  /// on the CPU the backend's own, with float32 arithmetic. Takes a few 10 ms. Errors:
  /// out_of_memory; device where the library is missing.
  virtual double measure_product_tflops(DType dtype) = 0;

  /// Records the nodes, run in order on `step`, for replay; runs none of them. The backend sees the
  /// whole list and may record something else than one launch per node.
  /// Ownership: the recording copies the Step's scalars, pointers and spans. The nodes and all
  /// memory that `step` points to (values, weights, workspace, the batch's and the state's arrays)
  /// must outlive it at the same addresses; replay() reads the arrays' current contents. For a
  /// device loop the nodes end with Advance. Threads: may run concurrently with copies and uploads
  /// to this backend by another thread, and with nothing else. Errors: those of the nodes, prefixed
  /// with the node's name; unsupported for a device loop where there is none; out_of_memory.
  virtual std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                            RecordedLoop loop = RecordedLoop::host) = 0;
  /// An upper estimate of the device memory of a recording of the nodes; 0 where recordings take
  /// none.
  virtual std::size_t recording_bytes(std::span<const Node> nodes, RecordedLoop loop) const = 0;
  /// Why record() cannot make a device loop; empty where it can.
  virtual std::string device_loop_obstacle() const = 0;
};

}  // namespace quern
