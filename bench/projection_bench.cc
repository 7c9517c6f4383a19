#include <optional>

#include "backend/cuda/cublaslt.h"
#include "backend/cuda/ops.h"
#include "bench/bench_kernels.h"
#include "bench/kernel_bench.h"
#include "bench/model_shapes.h"

namespace quern::bench {
namespace {

constexpr DType kDtype = DType::float16;
constexpr std::size_t kNumCounters = std::size_t{1} << 16;
constexpr int kMaxLogitRows = 512;

/// One projection at one number of rows, with everything that its launches need.
class ProjectionCase {
 public:
  ProjectionCase(const KernelBench& bench, ColdMemory& weights, cuda::CublasLt& cublaslt,
                 const ProjectionShape& shape, int num_rows)
      : bench_(bench),
        weights_(weights),
        shape_(shape),
        num_rows_(num_rows),
        counters_(bench.timer.allocate(kNumCounters * sizeof(std::uint32_t))),
        workspace_(bench.timer.allocate(workspace_bytes())),
        residual_(floats(num_rows * shape.in_features)),
        residual_out_(floats(num_rows * shape.in_features)),
        in_(floats(num_rows * shape.in_features)),
        gain_(floats(shape.in_features)),
        bias_(floats(shape.weight_rows())),
        out_(floats(num_rows * shape.out_features)),
        library_out_(floats(num_rows * shape.weight_rows())) {
    context_.stream = bench.timer.stream().get();
    context_.num_multiprocessors = bench.timer.num_multiprocessors();
    context_.counters = {reinterpret_cast<std::uint32_t*>(counters_.data()), kNumCounters};
    context_.cublaslt = &cublaslt;
    context_.overlaps = bench.timer.overlaps();
    fill(DType::float32, residual_, 1.0f);
    fill(kDtype, in_, 1.0f);
    fill(DType::float32, gain_, 1.0f);
    fill(DType::float32, bias_, 1.0f);
  }

  void run() {
    measure("read", [&] { read(); });
    measure("quern", [&] { run_op(); });
    measure("cublaslt", [&] { run_library(); });
  }

 private:
  Buffer floats(std::int64_t count) const {
    return bench_.timer.allocate(static_cast<std::size_t>(count) * sizeof(float));
  }

  void fill(DType dtype, const Buffer& buffer, float scale) const {
    FillParams params;
    params.dtype = dtype;
    params.data = buffer.data();
    params.count = static_cast<std::int64_t>(buffer.size_bytes() / dtype_bytes(dtype));
    params.scale = scale;
    fill_randomly(params, bench_.timer.stream().get());
  }

  template <typename Launch>
  void measure(const char* kernel, const Launch& launch) {
    Measurement m{"projection", shape_.name, kernel, num_rows_};
    m.us = bench_.timer.time_us(ColdMemory::num_launches(shape_.weight_bytes()), [&](int) {
      weight_ = weights_.take(shape_.weight_bytes());
      launch();
    });
    m.bytes = static_cast<double>(shape_.weight_bytes());
    m.flops = 2.0 * num_rows_ * static_cast<double>(shape_.weight_rows() * shape_.in_features);
    bench_.report.add(m);
  }

  void read() {
    ReadParams params;
    params.data = weight_;
    params.size_bytes = shape_.weight_bytes();
    params.num_multiprocessors = context_.num_multiprocessors;
    params.overlaps = context_.overlaps;
    read_memory(params, context_.stream);
  }

  void run_library() {
    cuda::MatrixProduct product;
    product.dtype = kDtype;
    product.num_rows = num_rows_;
    product.in_features = shape_.in_features;
    product.out_features = shape_.weight_rows();
    product.in = in_.data();
    product.weight = weight_;
    product.out_dtype = shape_.float32_out ? DType::float32 : kDtype;
    product.out = library_out_.data();
    context_.cublaslt->multiply(product, workspace_.bytes().first(cuda::CublasLt::kWorkspaceBytes),
                                context_.stream);
  }

  // What the backend runs is its own op, on a step of these values and weights.
  enum ValueIndex { kIn, kResidual, kResidualOut, kOut };
  enum WeightIndex { kWeight, kGain, kBias };

  static Tensor matrix(const std::byte* data, std::int64_t rows, std::int64_t cols, DType dtype) {
    return {const_cast<std::byte*>(data), rows, cols, cols, dtype, Device{DeviceKind::cuda, 0}};
  }
  static Weight weight(const std::byte* data, std::int64_t out, std::int64_t in, DType dtype) {
    return {matrix(data, out, in, dtype), {dtype}, out, in};
  }

  void run_op() {
    const DType out_dtype = shape_.float32_out ? DType::float32 : kDtype;
    const Tensor values[] = {
        matrix(in_.data(), num_rows_, shape_.in_features, kDtype),
        matrix(residual_.data(), num_rows_, shape_.in_features, DType::float32),
        matrix(residual_out_.data(), num_rows_, shape_.in_features, DType::float32),
        matrix(out_.data(), num_rows_, shape_.out_features, out_dtype)};
    const Weight weights[] = {weight(weight_, shape_.weight_rows(), shape_.in_features, kDtype),
                              weight(gain_.data(), 1, shape_.in_features, DType::float32),
                              weight(bias_.data(), 1, shape_.weight_rows(), DType::float32)};
    Step step;
    step.batch.num_tokens = num_rows_;
    step.batch.num_logit_rows = num_rows_;
    step.values = values;
    step.weights = weights;
    step.workspace = workspace_.bytes();
    const auto bias = shape_.bias ? std::optional(WeightId{kBias}) : std::nullopt;
    if (!shape_.normed) {
      cuda::run_linear({ValueId{kIn}, ValueId{kOut}, WeightId{kWeight}, bias}, step, context_);
      return;
    }
    NormLinear op{};
    op.residual = ValueId{kResidual};
    op.delta = ValueId{kIn};
    op.logit_rows_only = shape_.float32_out;
    if (!op.logit_rows_only) op.residual_out = ValueId{kResidualOut};
    op.out = ValueId{kOut};
    op.gain = WeightId{kGain};
    op.weight = WeightId{kWeight};
    op.bias = bias;
    op.norm = shape_.norm;
    op.epsilon = 1e-5f;
    op.activation = shape_.activation;
    op.gated = shape_.gated;
    cuda::run_norm_linear(op, step, context_);
  }

  std::size_t workspace_bytes() const {
    constexpr std::size_t kLibraryProducts = std::size_t{256} << 20;
    return cuda::CublasLt::kWorkspaceBytes + kLibraryProducts;
  }

  const KernelBench& bench_;
  ColdMemory& weights_;
  const ProjectionShape& shape_;
  int num_rows_;
  Buffer counters_;
  Buffer workspace_;
  Buffer residual_;
  Buffer residual_out_;
  Buffer in_;
  Buffer gain_;
  Buffer bias_;
  Buffer out_;
  Buffer library_out_;
  cuda::OpContext context_;
  const std::byte* weight_ = nullptr;
};

}  // namespace

void bench_projections(const KernelBench& bench) {
  // Products of some thousands of such factors stay far within float16.
  ColdMemory weights(bench.timer, kDtype, 0.02f);
  cuda::CublasLt cublaslt;
  for (const ModelShape& model : model_shapes()) {
    for (const ProjectionShape& shape : projections_of(model)) {
      if (!bench.wants(shape.name)) continue;
      for (const int rows : bench.rows) {
        // lm_head works on the wanted rows alone, in a long prompt on its last.
        if (shape.float32_out && rows > kMaxLogitRows) continue;
        ProjectionCase(bench, weights, cublaslt, shape, rows).run();
      }
    }
  }
}

}  // namespace quern::bench
