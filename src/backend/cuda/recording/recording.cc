#include "backend/cuda/recording/recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/stream/check_cuda.h"

namespace quern::cuda {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { static_cast<void>(cudaGraphDestroy(graph)); }
  void operator()(cudaGraphExec_t graph) const { static_cast<void>(cudaGraphExecDestroy(graph)); }
};
using GraphOwner = std::unique_ptr<CUgraph_st, GraphDeleter>;
using GraphExecOwner = std::unique_ptr<CUgraphExec_st, GraphDeleter>;

GraphOwner make_graph() {
  cudaGraph_t graph = nullptr;
  check_cuda(cudaGraphCreate(&graph, 0), "cudaGraphCreate");
  return GraphOwner(graph);
}

/// Puts the stream into capture mode for its lifetime. Relaxed mode: the first use of a kernel or
/// of cuBLASLt loads modules, and other threads may make any CUDA call.
class Capture {
 public:
  /// Captures into a new graph.
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed),
               "cudaStreamBeginCapture");
  }
  /// Captures into the body of another graph.
  Capture(cudaStream_t stream, cudaGraph_t graph) : stream_(stream), target_(graph) {
    check_cuda(cudaStreamBeginCaptureToGraph(stream_, graph, nullptr, nullptr, 0,
                                             cudaStreamCaptureModeRelaxed),
               "cudaStreamBeginCaptureToGraph");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (stream_ == nullptr) return;
    cudaGraph_t graph = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream_, &graph));
    static_cast<void>(cudaGetLastError());
    if (graph != nullptr && graph != target_) static_cast<void>(cudaGraphDestroy(graph));
  }

  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream_, &graph);
    stream_ = nullptr;
    check_cuda(status, "cudaStreamEndCapture");
    return graph;
  }

 private:
  cudaStream_t stream_;
  cudaGraph_t target_ = nullptr;
};

/// Adds an empty WHILE node to `graph`, which runs at least once.
struct WhileNode {
  explicit WhileNode(cudaGraph_t graph) {
    constexpr unsigned kRuns = 1;
    check_cuda(
        cudaGraphConditionalHandleCreate(&condition, graph, kRuns, cudaGraphCondAssignDefault),
        "cudaGraphConditionalHandleCreate");
    cudaGraphNodeParams params{};
    params.type = cudaGraphNodeTypeConditional;
    params.conditional.handle = condition;
    params.conditional.type = cudaGraphCondTypeWhile;
    params.conditional.size = 1;
    cudaGraphNode_t node = nullptr;
#if CUDART_VERSION >= 13000
    check_cuda(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &params), "cudaGraphAddNode");
#else
    check_cuda(cudaGraphAddNode(&node, graph, nullptr, 0, &params), "cudaGraphAddNode");
#endif
    body = params.conditional.phGraph_out[0];
  }

  cudaGraphConditionalHandle condition = 0;
  cudaGraph_t body = nullptr;  ///< belongs to the graph
};

std::uint64_t count_kernels(cudaGraph_t graph) {
  std::size_t num_nodes = 0;
  check_cuda(cudaGraphGetNodes(graph, nullptr, &num_nodes), "cudaGraphGetNodes");
  std::vector<cudaGraphNode_t> nodes(num_nodes);
  check_cuda(cudaGraphGetNodes(graph, nodes.data(), &num_nodes), "cudaGraphGetNodes");
  const auto is_kernel = [](cudaGraphNode_t node) {
    cudaGraphNodeType type{};
    check_cuda(cudaGraphNodeGetType(node, &type), "cudaGraphNodeGetType");
    return type == cudaGraphNodeTypeKernel;
  };
  return static_cast<std::uint64_t>(std::count_if(nodes.begin(), nodes.end(), is_kernel));
}

std::uint64_t count_dependent_launches(cudaGraph_t graph) {
  const auto get_edges = [&](cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* data,
                             std::size_t& count) {
#if CUDART_VERSION >= 13000
    check_cuda(cudaGraphGetEdges(graph, from, to, data, &count), "cudaGraphGetEdges");
#else
    check_cuda(cudaGraphGetEdges_v2(graph, from, to, data, &count), "cudaGraphGetEdges");
#endif
  };
  std::size_t count = 0;
  get_edges(nullptr, nullptr, nullptr, count);
  std::vector<cudaGraphNode_t> from(count);
  std::vector<cudaGraphNode_t> to(count);
  std::vector<cudaGraphEdgeData> data(count);
  if (count > 0) get_edges(from.data(), to.data(), data.data(), count);
  const auto is_programmatic = [](const cudaGraphEdgeData& edge) {
    return edge.type == cudaGraphDependencyTypeProgrammatic;
  };
  return static_cast<std::uint64_t>(std::count_if(data.begin(), data.end(), is_programmatic));
}

class GraphRecording final : public Recording {
 public:
  /// Also uploads the graph through `upload_stream` and waits for it, so that the first replay does
  /// not.
  GraphRecording(const Stream& stream, cudaStream_t upload_stream, cudaGraph_t graph,
                 LaunchCounts counts, std::vector<Buffer> memory)
      : stream_(stream), counts_(counts), memory_(std::move(memory)) {
    cudaGraphExec_t executable = nullptr;
    check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    executable_.reset(executable);
    check_cuda(cudaGraphUpload(executable, upload_stream), "cudaGraphUpload");
    check_cuda(cudaStreamSynchronize(upload_stream), "cudaStreamSynchronize");
  }

  void replay(int times) override {
    for (int i = 0; i < times; ++i) {
      check_cuda(cudaGraphLaunch(executable_.get(), stream_.get()), "cudaGraphLaunch");
    }
  }
  LaunchCounts counts() const override { return counts_; }

 private:
  const Stream& stream_;
  LaunchCounts counts_;
  std::vector<Buffer> memory_;  ///< that the kernels read
  GraphExecOwner executable_;
};

/// Captures `step` as the body of a WHILE node in a new graph; `body` is the body's graph.
GraphOwner capture_loop(OpContext& context, const std::function<void()>& step, cudaGraph_t& body) {
  GraphOwner graph = make_graph();
  const WhileNode loop(graph.get());
  Capture capture(context.stream, loop.body);
  context.loop_condition = loop.condition;
  try {
    step();
  } catch (...) {
    context.loop_condition.reset();
    throw;
  }
  context.loop_condition.reset();
  body = capture.end();
  return graph;
}

GraphOwner capture_once(cudaStream_t stream, const std::function<void()>& step) {
  Capture capture(stream);
  step();
  return GraphOwner(capture.end());
}

}  // namespace

std::unique_ptr<Recording> record_graph(const Stream& stream, OpContext& context,
                                        const std::function<std::vector<Buffer>()>& step,
                                        RecordedLoop loop) {
  std::vector<Buffer> memory;
  const auto launch_all = [&] { memory = step(); };
  const std::uint64_t calls_before = context.cublaslt->num_calls();
  cudaGraph_t body = nullptr;
  const GraphOwner graph = loop == RecordedLoop::device ? capture_loop(context, launch_all, body)
                                                        : capture_once(context.stream, launch_all);
  LaunchCounts counts;
  cudaGraph_t recorded = body != nullptr ? body : graph.get();
  counts.launches = count_kernels(recorded);
  counts.dependent_launches = count_dependent_launches(recorded);
  counts.library_calls = context.cublaslt->num_calls() - calls_before;
  return std::make_unique<GraphRecording>(stream, context.stream, graph.get(), counts,
                                          std::move(memory));
}

std::size_t recording_bytes(std::size_t num_nodes, RecordedLoop loop) {
  // Estimated, since CUDA does not report it. A kernel node keeps its launch descriptor and
  // parameters on the device; a graph, and the body of a WHILE node, take memory in blocks.
  constexpr std::size_t kLaunchesPerNode = 2;  // batched: norm and GEMM
  constexpr std::size_t kBytesPerLaunch = std::size_t{4} << 10;
  constexpr std::size_t kBytesPerPersistentOp = std::size_t{32} << 10;  // its output, LLaMA-7B's
  constexpr std::size_t kBytesPerGraph = std::size_t{512} << 10;
  const std::size_t num_graphs = loop == RecordedLoop::device ? 2 : 1;
  return num_graphs * kBytesPerGraph +
         num_nodes * (kLaunchesPerNode * kBytesPerLaunch + kBytesPerPersistentOp);
}

std::string device_loop_obstacle() {
  constexpr int kNeeded = 12040;
  int version = 0;
  check_cuda(cudaDriverGetVersion(&version), "cudaDriverGetVersion");
  if (version >= kNeeded) return "";
  return fmt::format("the driver knows CUDA {}.{}, and WHILE nodes in graphs need 12.4",
                     version / 1000, version % 1000 / 10);
}

}  // namespace quern::cuda
