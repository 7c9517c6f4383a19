#include "backend/cuda/recording.h"

#include "backend/cuda/check_cuda.h"

namespace quern::cuda {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { static_cast<void>(cudaGraphDestroy(graph)); }
  void operator()(cudaGraphExec_t graph) const { static_cast<void>(cudaGraphExecDestroy(graph)); }
};
using GraphOwner = std::unique_ptr<CUgraph_st, GraphDeleter>;
using GraphExecOwner = std::unique_ptr<CUgraphExec_st, GraphDeleter>;

/// Keeps the stream capturing for as long as it lives.
class Capture {
 public:
  explicit Capture(const Stream& stream) : stream_(stream.get()) {
    // Relaxed: the first use of a kernel or of cuBLASLt loads modules.
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed),
               "cudaStreamBeginCapture");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ == nullptr) return;
    cudaGraph_t graph = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream_, &graph));
    static_cast<void>(cudaGetLastError());
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  }

  GraphOwner end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream_, &graph);
    stream_ = nullptr;
    check_cuda(status, "cudaStreamEndCapture");
    return GraphOwner(graph);
  }

 private:
  cudaStream_t stream_;
};

class GraphRecording final : public Recording {
 public:
  GraphRecording(const Stream& stream, GraphExecOwner graph)
      : stream_(stream), graph_(std::move(graph)) {}

  void replay(int times) override {
    for (int i = 0; i < times; ++i) {
      check_cuda(cudaGraphLaunch(graph_.get(), stream_.get()), "cudaGraphLaunch");
    }
  }

 private:
  const Stream& stream_;
  GraphExecOwner graph_;
};

}  // namespace

std::unique_ptr<Recording> record_graph(const Stream& stream, const std::function<void()>& step) {
  Capture capture(stream);
  step();
  const GraphOwner graph = capture.end();
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate");
  return std::make_unique<GraphRecording>(stream, GraphExecOwner(executable));
}

}  // namespace quern::cuda
