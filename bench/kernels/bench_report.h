#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace quern::bench {

/// One kernel, or a chain of them, at one size.
struct Measurement {
  std::string family;     ///< "projection"
  std::string name;       ///< "llama_7b.qkv"
  std::string kernel;     ///< "gemv"
  std::int64_t rows = 0;  ///< tokens or sequences of the step
  double us = 0.0;
  double bytes = 0.0;  ///< minimum bytes read from memory
  double flops = 0.0;
};

/// Collects measurements; prints each as a line immediately, or all as one JSON object at the end.
class BenchReport {
 public:
  /// `read_gbps`: the bandwidth that shares are relative to.
  BenchReport(bool as_json, std::string device, double read_gbps);

  void add(const Measurement& measurement);
  /// Prints the JSON object. Call it once, at the end.
  void finish();

 private:
  bool as_json_;
  double read_gbps_;
  nlohmann::ordered_json json_;
};

}  // namespace quern::bench
