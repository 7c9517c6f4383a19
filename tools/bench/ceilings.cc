#include "tools/bench/ceilings.h"

#include <algorithm>

namespace quern::tools {
namespace {

double reading_ms(const Work& work, const Ceilings& ceilings) {
  return work.bytes / (ceilings.read_gbps * 1e6);
}
double computing_ms(const Work& work, const Ceilings& ceilings) {
  return work.flops / (ceilings.product_tflops * 1e9);
}

}  // namespace

Ceilings measure_ceilings(Engine& engine) {
  return {measure_read_gbps(engine), measure_product_tflops(engine)};
}

double Work::floor_ms(const Ceilings& ceilings) const {
  return std::max(reading_ms(*this, ceilings), computing_ms(*this, ceilings));
}

std::string_view Work::bound(const Ceilings& ceilings) const {
  return reading_ms(*this, ceilings) >= computing_ms(*this, ceilings) ? "bytes" : "flops";
}

Work work_of(const StepCost& cost, int num_steps) {
  return {num_steps * cost.weight_bytes + cost.kv_bytes, cost.flops};
}

}  // namespace quern::tools
