#include "bench/kernels/bench_report.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace quern::bench {
namespace {

double rounded(double value, double unit) { return std::round(value / unit) * unit; }

}  // namespace

BenchReport::BenchReport(bool as_json, std::string device, double read_gbps)
    : as_json_(as_json), read_gbps_(read_gbps) {
  json_ = {{"device", std::move(device)},
           {"read_gbps", std::round(read_gbps)},
           {"measurements", nlohmann::ordered_json::array()}};
  if (as_json_) return;
  fmt::print("{}; reads {:.0f} GB/s\n", json_["device"].get<std::string>(), read_gbps);
  fmt::print("{:<12} {:<24} {:>5} {:<10} {:>9} {:>7} {:>6} {:>8}\n", "family", "name", "rows",
             "kernel", "us", "GB/s", "share", "TFLOP/s");
}

void BenchReport::add(const Measurement& m) {
  const double gbps = m.bytes / m.us * 1e-3;
  const double tflops = m.flops / m.us * 1e-6;
  if (!as_json_) {
    fmt::print("{:<12} {:<24} {:>5} {:<10} {:>9.2f} {:>7.0f} {:>5.1f}% {:>8.2f}\n", m.family,
               m.name, m.rows, m.kernel, m.us, gbps, 100.0 * gbps / read_gbps_, tflops);
    static_cast<void>(std::fflush(stdout));
    return;
  }
  json_["measurements"].push_back({{"family", m.family},
                                   {"name", m.name},
                                   {"rows", m.rows},
                                   {"kernel", m.kernel},
                                   {"us", rounded(m.us, 0.01)},
                                   {"gbps", std::round(gbps)},
                                   {"share_of_read", rounded(gbps / read_gbps_, 0.001)},
                                   {"tflops", rounded(tflops, 0.01)}});
}

void BenchReport::finish() {
  if (as_json_) fmt::print("{}\n", json_.dump());
}

}  // namespace quern::bench
