#include <fmt/format.h>

#include <array>
#include <deque>
#include <optional>

#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/ops/projection.h"
#include "bench/kernels/bench_kernels.h"
#include "bench/kernels/kernel_bench.h"
#include "bench/kernels/model_shapes.h"
#include "kernels/gemm/skinny_gemm.h"
#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::bench {
namespace {

constexpr DType kDtype = DType::float16;
/// Small enough that sums of thousands of products stay in float16's range.
constexpr float kWeightScale = 0.02f;
constexpr int kMaxLogitRows = 512;
constexpr int kMaxStepRows = 64;

/// One projection at one M, with all buffers that its launches need.
class ProjectionCase {
 public:
  ProjectionCase(const KernelBench& bench, ColdMemory& weights, cuda::CublasLt& cublaslt,
                 const ProjectionShape& shape, int num_rows)
      : bench_(bench),
        weights_(weights),
        shape_(shape),
        num_rows_(num_rows),
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
    context_.cublaslt = &cublaslt;
    context_.gemm_crossover = cuda::gemm_crossover(cuda::memory_bytes_per_clock(0));
    context_.use_pdl = bench.timer.use_pdl();
    context_.sm90_gemm = kernels::has_gemm_sm90();
    fill(DType::float32, residual_, 1.0f);
    fill(kDtype, in_, 1.0f);
    fill(DType::float32, gain_, 1.0f);
    fill(DType::float32, bias_, 1.0f);
  }

  /// Launches what the backend would, with cold weights.
  void launch_op() {
    weight_ = weights_.take(shape_.weight_bytes());
    run_op();
  }

  void run() {
    measure("read", [&] { read(); });
    measure("quern", [&] { run_op(); });
    if (kernels::gemv_supports(kDtype, num_rows_, shape_.in_features)) {
      measure("gemv", [&] { run_gemv(); });
    }
    if (num_rows_ <= kernels::kMaxSkinnyRows) measure("skinny", [&] { run_skinny(); });
    measure("cublaslt", [&] { run_library(); });
    if (num_rows_ <= kernels::kMaxSkinnyRows || !context_.sm90_gemm || shape_.float32_out) return;
    for (const kernels::GemmSm90Layout& layout : kernels::gemm_sm90_layouts()) {
      const std::string name =
          fmt::format("sm90 {} pair {} splits {}", layout.width, layout.pair, layout.splits);
      measure(name.c_str(), [&] { run_sm90(layout); });
    }
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
    m.flops = shape_.flops(num_rows_);
    bench_.report.add(m);
  }

  void read() {
    ReadParams params;
    params.data = weight_;
    params.size_bytes = shape_.weight_bytes();
    params.num_multiprocessors = context_.num_multiprocessors;
    params.use_pdl = context_.use_pdl;
    read_memory(params, context_.stream);
  }

  /// Without bias, as most models' projections.
  void run_sm90(const kernels::GemmSm90Layout& layout) {
    kernels::GemmSm90Params params;
    params.dtype = kDtype;
    params.num_rows = num_rows_;
    params.in_features = shape_.in_features;
    params.weight = weight_;
    params.in = in_.data();
    params.epilogue.gated = shape_.gated;
    if (shape_.gated) params.epilogue.activation = kernels::Activation::silu;
    params.epilogue.out = out_.data();
    params.epilogue.out_features = shape_.out_features;
    params.epilogue.out_dtype = kDtype;
    params.num_multiprocessors = context_.num_multiprocessors;
    params.use_pdl = context_.use_pdl;
    params.layout = layout;
    kernels::gemm_sm90(params, context_.stream);
  }

  void run_library() {
    cuda::MatrixProduct product;
    product.dtype = kDtype;
    product.num_rows = num_rows_;
    product.in_features = shape_.in_features;
    product.out_features = shape_.weight_rows();
    product.in = in_.data();
    product.weight = weight_;
    product.out_dtype = out_dtype();
    product.out = library_out_.data();
    context_.cublaslt->multiply(product, workspace_.bytes().first(cuda::CublasLt::kWorkspaceBytes),
                                context_.stream);
  }

  static Tensor matrix(const std::byte* data, std::int64_t rows, std::int64_t cols, DType dtype) {
    return {const_cast<std::byte*>(data), rows, cols, cols, dtype, Device{DeviceKind::cuda, 0}};
  }
  static Weight weight(const std::byte* data, std::int64_t out, std::int64_t in, DType dtype) {
    return row_major_weight({.stored = dtype}, {out, in}, const_cast<std::byte*>(data),
                            Device{DeviceKind::cuda, 0});
  }

  DType out_dtype() const { return shape_.float32_out ? DType::float32 : kDtype; }

  // The backend's own op is run on a step of these values and weights.
  enum ValueIndex { kIn, kResidual, kResidualOut, kOut, kNumValues };
  enum WeightIndex { kWeight, kGain, kBias, kNumWeights };

  std::array<Tensor, kNumValues> values() const {
    return {matrix(in_.data(), num_rows_, shape_.in_features, kDtype),
            matrix(residual_.data(), num_rows_, shape_.in_features, DType::float32),
            matrix(residual_out_.data(), num_rows_, shape_.in_features, DType::float32),
            matrix(out_.data(), num_rows_, shape_.out_features, out_dtype())};
  }

  std::array<Weight, kNumWeights> weights() const {
    return {weight(weight_, shape_.weight_rows(), shape_.in_features, kDtype),
            weight(gain_.data(), 1, shape_.in_features, DType::float32),
            weight(bias_.data(), 1, shape_.weight_rows(), DType::float32)};
  }

  void run_op() {
    const auto values = this->values();
    const auto weights = this->weights();
    Step step;
    step.activation_dtype = kDtype;
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
    if (shape_.float32_out) {
      op.in_rows = op.out_rows = Rows::logit_rows;
    } else {
      op.residual_out = ValueId{kResidualOut};
    }
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

  /// Calls body(projection of rows that are already normed), for the kernels one by one.
  template <typename Body>
  void with_projection(const Body& body) const {
    const auto values = this->values();
    const auto weights = this->weights();
    cuda::Projection projection;
    projection.in = in_.data();
    projection.in_dtype = kDtype;
    projection.num_rows = num_rows_;
    projection.weight = &weights[kWeight];
    projection.epilogue = cuda::make_epilogue(values[kOut], shape_.bias ? &weights[kBias] : nullptr,
                                              shape_.activation, shape_.gated);
    body(projection);
  }

  void run_gemv() const {
    with_projection([this](const cuda::Projection& projection) {
      kernels::gemv(cuda::gemv_params(projection, context_), context_.stream);
    });
  }

  void run_skinny() const {
    with_projection([this](const cuda::Projection& projection) {
      kernels::skinny_gemm(cuda::skinny_gemm_params(projection, context_), context_.stream);
    });
  }

  std::size_t workspace_bytes() const {
    constexpr std::size_t kLibraryProducts = std::size_t{256} << 20;
    return cuda::CublasLt::kWorkspaceBytes + kLibraryProducts;
  }

  const KernelBench& bench_;
  ColdMemory& weights_;
  const ProjectionShape& shape_;
  int num_rows_;
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

/// All projections of a decode step in order: the step without attention, sampling and host time.
void bench_step(const KernelBench& bench, ColdMemory& weights, cuda::CublasLt& cublaslt,
                const ModelShape& model, int num_rows) {
  const std::vector<ProjectionShape> shapes = projections_of(model);
  std::deque<ProjectionCase> cases;
  Measurement m{"step", std::string(model.name) + ".projections", "quern", num_rows};
  for (const ProjectionShape& shape : shapes) {
    cases.emplace_back(bench, weights, cublaslt, shape, num_rows);
    const int times = &shape == &shapes.back() ? 1 : model.num_hidden_layers;
    m.bytes += times * static_cast<double>(shape.weight_bytes());
    m.flops += times * shape.flops(num_rows);
  }
  m.us = bench.timer.time_us(1, [&](int) {
    for (int layer = 0; layer < model.num_hidden_layers; ++layer) {
      for (std::size_t i = 0; i + 1 < cases.size(); ++i) cases[i].launch_op();
    }
    cases.back().launch_op();
  });
  bench.report.add(m);
}

}  // namespace

void bench_steps(const KernelBench& bench) {
  ColdMemory weights(bench.timer, kDtype, kWeightScale);
  cuda::CublasLt cublaslt;
  for (const ModelShape& model : model_shapes()) {
    if (!bench.wants(model.name)) continue;
    for (const int rows : bench.rows) {
      if (rows <= kMaxStepRows) bench_step(bench, weights, cublaslt, model, rows);
    }
  }
}

void bench_projections(const KernelBench& bench) {
  ColdMemory weights(bench.timer, kDtype, kWeightScale);
  cuda::CublasLt cublaslt;
  for (const ModelShape& model : model_shapes()) {
    for (const ProjectionShape& shape : projections_of(model)) {
      if (!bench.wants(shape.name)) continue;
      for (const int rows : bench.rows) {
        // lm_head computes only rows that need logits: in a long prompt the last one.
        if (shape.float32_out && rows > kMaxLogitRows) continue;
        ProjectionCase(bench, weights, cublaslt, shape, rows).run();
      }
    }
  }
}

}  // namespace quern::bench
