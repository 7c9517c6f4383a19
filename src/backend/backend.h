#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/memory/buffer.h"
#include "graph/graph.h"
#include "graph/limits.h"
#include "graph/op.h"
#include "graph/step.h"
#include "weights/random.h"

namespace quern {

/// What one run of a step starts on the device.
struct LaunchCounts {
  std::uint64_t launches = 0;  ///< kernels, the library's included; 0 where nothing is launched
  std::uint64_t library_calls = 0;  ///< matrix products by a library
};

/// Who repeats a recorded step.
enum class RecordedLoop {
  host,    ///< replay(n) runs the step n times
  device,  ///< replay(1) runs it until Advance ends the loop; see LoopControl
};

/// A closed step made ready to run again and again without host work.
class Recording {
 public:
  virtual ~Recording() = default;
  /// Runs what was recorded `times` times. Does not wait for the device.
  virtual void replay(int times) = 0;
  /// Of one step.
  virtual LaunchCounts counts() const = 0;
};

/// Tells how far apart the device reaches points in the order of its work.
class Stopwatch {
 public:
  virtual ~Stopwatch() = default;
  /// The first mark. A GPU is held here until the host has had time to launch the work of the
  /// `num_marks` marks to come: they tell the device's time, not the host's.
  virtual void start(int num_marks) = 0;
  virtual void mark() = 0;
  /// Microseconds from each mark to the next. Waits for the last.
  virtual std::vector<double> take_laps_us() = 0;
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

  /// Refuses an op that steps within the limits could not run: what depends on the model, the
  /// limits and the device alone is told before anything is allocated, not by the first step.
  /// Errors: unsupported naming the value and what is legal.
  virtual void check(const Op& /*op*/, const Graph& /*graph*/, const Limits& /*limits*/) const {}

  /// Scratch bytes that the op needs at the limits. Step::workspace is the largest over the graph.
  virtual std::size_t workspace_bytes(const Op& op, const Graph& graph,
                                      const Limits& limits) const = 0;

  /// Bytes that are free on the device, or on the host for what the process may take.
  virtual std::uint64_t available_bytes() const = 0;
  /// Zeroed memory on the device. Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate(std::size_t size_bytes, const char* what) = 0;
  /// Zeroed host memory that the device writes while the host reads it.
  /// Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate_shared(std::size_t size_bytes, const char* what) = 0;
  /// Copies between host and device. copy_out waits until the data is there.
  virtual void copy_in(void* device_destination, const void* host_source,
                       std::size_t size_bytes) = 0;
  virtual void copy_out(void* host_destination, const void* device_source,
                        std::size_t size_bytes) = 0;
  /// Writes one word of device memory now, not in the order of the work: a step under way may see
  /// it.
  virtual void write_now(std::int32_t* device_word, std::int32_t value) = 0;

  /// Waits until all work is done. Errors: device, for what the work ran into.
  virtual void wait() = 0;
  /// Waits until the word, in shared memory, is at least `value`; false when all work is done and
  /// it never was. The device goes on meanwhile. Errors: as wait().
  virtual bool wait_until(const std::int64_t* shared_word, std::int64_t value) = 0;
  /// How often the host has waited for all of the device's work, in whichever call.
  virtual std::uint64_t num_waits() const = 0;
  /// The most memory that was in use so far, in bytes: of the process on the CPU; of the whole
  /// device, driver and libraries included, on a GPU.
  virtual std::uint64_t peak_memory_bytes() const = 0;

  /// Bytes that `upload` takes from the weight arena for this weight, stored as `stored`.
  virtual std::size_t upload_bytes(const WeightSpec& spec, DType stored) const = 0;
  /// Reads a weight, by several threads where that helps, and brings it to `destination`, perhaps
  /// in another layout.
  virtual Weight upload(const WeightSource& source, std::byte* destination) = 0;

  /// Fills elements of the weight at `weight`, in plain layout on the device, with random numbers,
  /// the same on every backend; see weights/random.h.
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

  /// Makes a step ready for replay. `step` calls run() on this backend and nothing else; for a
  /// device loop it ends with Advance. Errors: unsupported for a device loop where there is none.
  virtual std::unique_ptr<Recording> record(std::function<void()> step,
                                            RecordedLoop loop = RecordedLoop::host) = 0;
  /// Why record() cannot make a device loop here; empty where it can.
  virtual std::string device_loop_obstacle() const = 0;
};

}  // namespace quern
