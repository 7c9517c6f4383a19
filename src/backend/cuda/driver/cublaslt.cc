#include "backend/cuda/driver/cublaslt.h"

#include <cublasLt.h>

#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"

namespace quern::cuda {
namespace {

#define QUERN_TEXT_OF(x) #x
#define QUERN_TEXT(x) QUERN_TEXT_OF(x)
constexpr const char* kSoname = "libcublasLt.so." QUERN_TEXT(CUBLAS_VER_MAJOR);
#undef QUERN_TEXT
#undef QUERN_TEXT_OF

void check_cublas(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  fail(ErrorCode::device, "{} failed with status {}", call, static_cast<int>(status));
}

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::float16:
      return CUDA_R_16F;
    case DType::bfloat16:
      return CUDA_R_16BF;
    default:
      QUERN_CHECK(dtype == DType::float32, "{}", dtype_name(dtype));
      return CUDA_R_32F;
  }
}

/// A library object, destroyed with its destroy function.
template <typename Opaque>
using Owner = std::unique_ptr<Opaque, cublasStatus_t (*)(Opaque*)>;
using OperationOwner = Owner<cublasLtMatmulDescOpaque_t>;
using LayoutOwner = Owner<cublasLtMatrixLayoutOpaque_t>;
using PreferenceOwner = Owner<cublasLtMatmulPreferenceOpaque_t>;

/// The matrices in the library's column-major terms.
struct Layouts {
  LayoutOwner weight;
  LayoutOwner in;
  LayoutOwner out;
};

}  // namespace

/// The library's entry points, found by name, and its handle.
class CublasLt::Library {
 public:
  Library(std::string soname, const DynamicLibrary& library)
      : soname_(std::move(soname)), library_(library) {
    check_cublas(find<decltype(cublasLtCreate)>("cublasLtCreate")(&handle_), "cublasLtCreate");
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { static_cast<void>(destroy_(handle_)); }

  void multiply(const MatrixProduct& product, std::span<std::byte> workspace, cudaStream_t stream) {
    const OperationOwner operation = make_operation(product.dtype);
    const Layouts layouts = make_layouts(product);
    const auto run = [&](const cublasLtMatmulAlgo_t& algorithm) {
      const float one = 1.0f;
      const float zero = 0.0f;
      return multiply_(handle_, operation.get(), &one, product.weight, layouts.weight.get(),
                       product.in, layouts.in.get(), &zero, product.out, layouts.out.get(),
                       product.out, layouts.out.get(), &algorithm, workspace.data(),
                       workspace.size(), stream);
    };
    MatrixProduct rounded = product;
    rounded.num_rows = rounded_rows(product.num_rows);
    const cublasStatus_t status = run(algorithm_of(rounded, operation));
    const bool may_differ = rounded.num_rows != product.num_rows;
    const bool refused =
        status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE;
    // It says so before it launches anything.
    check_cublas(may_differ && refused ? run(algorithm_of(product, operation)) : status,
                 "cublasLtMatmul");
  }

 private:
  /// Plan key: dtypes and sizes.
  using Key = std::tuple<DType, DType, std::int64_t, std::int64_t, std::int64_t>;

  /// The heuristic search for an algorithm takes the host as long as many launches, and steps that
  /// prefill seldom have the number of rows of another: rows in one tile share the algorithm. The
  /// sizes of recorded decode steps are among the results.
  static std::int64_t rounded_rows(std::int64_t num_rows) {
    const auto rounded_to = [num_rows](std::int64_t tile) {
      return ceil_div(num_rows, tile) * tile;
    };
    if (num_rows <= 64) return rounded_to(8);
    if (num_rows <= 256) return rounded_to(32);
    return num_rows <= 1024 ? rounded_to(64) : rounded_to(256);
  }

  const cublasLtMatmulAlgo_t& algorithm_of(const MatrixProduct& product,
                                           const OperationOwner& operation) {
    const Key key(product.dtype, product.out_dtype, product.num_rows, product.in_features,
                  product.out_features);
    auto known = algorithms_.find(key);
    if (known == algorithms_.end()) {
      known =
          algorithms_.emplace(key, best_algorithm(product, operation, make_layouts(product))).first;
    }
    return known->second;
  }

  OperationOwner make_operation(DType dtype) const {
    // TF32 would round float32 factors to 11 bits.
    const auto compute = dtype == DType::float32 ? CUBLAS_COMPUTE_32F_PEDANTIC : CUBLAS_COMPUTE_32F;
    cublasLtMatmulDesc_t operation = nullptr;
    check_cublas(create_operation_(&operation, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
    OperationOwner owner(operation, destroy_operation_);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check_cublas(
        set_operation_(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
        "cublasLtMatmulDescSetAttribute");
    return owner;
  }

  /// outᵀ [out_features, num_rows] = (Wᵀ)ᵀ · inᵀ.
  Layouts make_layouts(const MatrixProduct& product) const {
    return {layout(product.dtype, product.in_features, product.out_features),
            layout(product.dtype, product.in_features, product.num_rows),
            layout(product.out_dtype, product.out_features, product.num_rows)};
  }

  cublasLtMatmulAlgo_t best_algorithm(const MatrixProduct& product, const OperationOwner& operation,
                                      const Layouts& layouts) const {
    cublasLtMatmulPreference_t preference = nullptr;
    check_cublas(create_preference_(&preference), "cublasLtMatmulPreferenceCreate");
    const PreferenceOwner owner(preference, destroy_preference_);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
      check_cublas(set_preference_(preference, attribute, &value, sizeof(value)),
                   "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    // Split-K partial sums are reduced in float32, not in the dtype of `out`.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
           std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      prefer(attribute, std::uint32_t{16});
    }
    cublasLtMatmulHeuristicResult_t best{};
    int num_found = 0;
    check_cublas(
        find_algorithm_(handle_, operation.get(), layouts.weight.get(), layouts.in.get(),
                        layouts.out.get(), layouts.out.get(), preference, 1, &best, &num_found),
        "cublasLtMatmulAlgoGetHeuristic");
    if (num_found == 0) {
      fail(ErrorCode::device, "cuBLASLt has no algorithm for [{}, {}] {} times [{}, {}] transposed",
           product.num_rows, product.in_features, dtype_name(product.dtype), product.out_features,
           product.in_features);
    }
    return best.algo;
  }

  template <typename Function>
  Function* find(const char* name) const {
    if (!library_.error().empty()) {
      fail(ErrorCode::device, "cuBLASLt, which steps of many tokens need, is missing: {}",
           library_.error());
    }
    Function* function = library_.function<Function>(name);
    if (function == nullptr) fail(ErrorCode::device, "{} lacks {}", soname_, name);
    return function;
  }

  LayoutOwner layout(DType dtype, std::int64_t rows, std::int64_t cols) const {
    cublasLtMatrixLayout_t layout = nullptr;
    check_cublas(create_layout_(&layout, data_type(dtype), static_cast<std::uint64_t>(rows),
                                static_cast<std::uint64_t>(cols), rows),
                 "cublasLtMatrixLayoutCreate");
    return {layout, destroy_layout_};
  }

  std::string soname_;
  const DynamicLibrary& library_;
// NOLINTNEXTLINE(bugprone-macro-parentheses): it declares a member
#define QUERN_FIND(member, name) decltype(name)* member = find<decltype(name)>(#name)
  QUERN_FIND(destroy_, cublasLtDestroy);
  QUERN_FIND(create_operation_, cublasLtMatmulDescCreate);
  QUERN_FIND(set_operation_, cublasLtMatmulDescSetAttribute);
  QUERN_FIND(destroy_operation_, cublasLtMatmulDescDestroy);
  QUERN_FIND(create_layout_, cublasLtMatrixLayoutCreate);
  QUERN_FIND(destroy_layout_, cublasLtMatrixLayoutDestroy);
  QUERN_FIND(create_preference_, cublasLtMatmulPreferenceCreate);
  QUERN_FIND(set_preference_, cublasLtMatmulPreferenceSetAttribute);
  QUERN_FIND(destroy_preference_, cublasLtMatmulPreferenceDestroy);
  QUERN_FIND(find_algorithm_, cublasLtMatmulAlgoGetHeuristic);
  QUERN_FIND(multiply_, cublasLtMatmul);
#undef QUERN_FIND
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, cublasLtMatmulAlgo_t> algorithms_;
};

CublasLt::CublasLt(std::string soname)
    : soname_(std::move(soname)), opening_(std::async(std::launch::async, [this] {
        return std::make_unique<DynamicLibrary>(soname_.c_str());
      })) {}
CublasLt::~CublasLt() = default;
const char* CublasLt::default_soname() { return kSoname; }

void CublasLt::multiply(const MatrixProduct& product, std::span<std::byte> workspace,
                        cudaStream_t stream) {
  QUERN_CHECK(workspace.size() >= kWorkspaceBytes);
  if (library_ == nullptr) {
    if (file_ == nullptr) file_ = opening_.get();
    library_ = std::make_unique<Library>(soname_, *file_);
  }
  library_->multiply(product, workspace, stream);
  ++num_calls_;
}

}  // namespace quern::cuda
