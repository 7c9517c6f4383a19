#include "kernels/gemm/sm90/gemm_cut.h"

#include <string>

#include "kernels/common/errors.h"

namespace quern::kernels {

void throw_no_layout(const char* gemm, const GemmSm90Layout& layout) {
  throw DispatchError(std::string(gemm) + ": no layout of width " + std::to_string(layout.width) +
                      ", pair " + std::to_string(layout.pair) + ", splits " +
                      std::to_string(layout.splits));
}

}  // namespace quern::kernels
