#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
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

/// Interprets ops on one device. Work is ordered: each call sees the effects of those before it.
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

  /// Refuses an op that steps within the limits could not run: what depends on the model, the
  /// limits and the device alone is told before anything is allocated, not by the first step.
  /// Errors: unsupported naming the value and what is legal.
  virtual void check(const Op& /*op*/, const Graph& /*graph*/, const Limits& /*limits*/) const {}

  /// Scratch bytes that the op needs at the limits. Step::workspace is the largest over the graph.
  virtual std::size_t workspace_bytes(const Op& op, const Graph& graph,
                                      const Limits& limits) const = 0;

  /// Copies KV blocks over all layers, keys and values, in the order of the work. No block may be
  /// the destination of two copies, or both a source and a destination. Cost: twice the bytes of
  /// the blocks. Errors: internal for such pairs and for blocks that the cache does not have.
  virtual void copy_blocks(const KvCacheView& cache, std::span<const BlockCopy> copies) = 0;

  /// Waits until all work is done. Errors: device, for what the work ran into.
  virtual void wait() = 0;
  /// Waits until the word, in shared memory, is at least `value`; false when all work is done and
  /// it never was. The device goes on meanwhile. Errors: as wait(); device also when work is under
  /// way and the word has stayed the same for `patience` while this process ran: the device is
  /// taken for hung, and every later call says so.
  virtual bool wait_until(const std::int64_t* shared_word, std::int64_t value,
                          std::chrono::milliseconds patience) = 0;
  /// How often the host has waited for all of the device's work, in whichever call.
  virtual std::uint64_t num_waits() const = 0;

  /// The layout in which this backend's kernels read a weight; storage_bytes() says what it takes.
  /// Errors: unsupported naming the format and those that there are kernels for.
  virtual WeightLayout prepare(const WeightFormat& format, WeightUse use) const = 0;
  /// Reads a weight, by several threads where that helps, and brings its components to
  /// `destination` in the layout that prepare() chose.
  virtual Weight upload(const WeightSource& source, WeightLayout layout,
                        std::byte* destination) = 0;

  /// Fills elements of a row-major weight without scales at `weight`, on the device, with random
  /// numbers, the same on every backend; see weights/random.h.
  virtual void fill_random(const RandomRun& run, DType dtype, std::byte* weight) = 0;

  /// Names what the host does from push to pop for the device's profilers, where there are any.
  virtual void push_range(const char* /*name*/) {}
  virtual void pop_range() {}
  virtual std::unique_ptr<Stopwatch> make_stopwatch() = 0;
  /// The bandwidth, in GB/s, that reading memory of the device reaches; takes some milliseconds.
  /// Errors: out_of_memory.
  virtual double measure_read_gbps() = 0;
  /// The rate, in TFLOP/s, of a large product of dense matrices of `dtype` with random numbers: a
  /// library's on a GPU, on the CPU the backend's own, whose arithmetic is float32. Takes some
  /// hundredths of a second. Errors: out_of_memory; device where the library is missing.
  virtual double measure_product_tflops(DType dtype) = 0;

  /// Makes the nodes, run in order on `step`, ready for replay; runs none of them. The backend sees
  /// what it records, and may record something else than one launch a node.
  /// Ownership: the recording keeps copies of the Step's scalars, pointers and spans. The nodes and
  /// all memory that `step` points to (values, weights, workspace, the batch's and the state's
  /// arrays) must outlive it, where they are; replay() reads the arrays' contents anew. For a
  /// device loop the nodes end with Advance. Threads: may run beside copies and uploads to this
  /// backend by another thread, and beside nothing else. Errors: those of the nodes, with the
  /// node's name in front; unsupported for a device loop where there is none; out_of_memory.
  virtual std::unique_ptr<Recording> record(std::span<const Node> nodes, const Step& step,
                                            RecordedLoop loop = RecordedLoop::host) = 0;
  /// An estimate from above of the device memory that a recording of the nodes takes; 0 where
  /// recordings take none.
  virtual std::size_t recording_bytes(std::span<const Node> nodes, RecordedLoop loop) const = 0;
  /// Why record() cannot make a device loop here; empty where it can.
  virtual std::string device_loop_obstacle() const = 0;
};

}  // namespace quern
