#pragma once

#include <string>

#include "quern/service.h"

namespace quern::tools {

/// What the text begins its names with: "quern:", and "vllm:" for dashboards that were made for
/// vLLM. Names and meanings are vLLM's in both.
struct MetricsOptions {
  std::string model_name;  ///< a label of every sample
  bool vllm = false;       ///< all of it a second time, under "vllm:"
};

/// The metrics in Prometheus' text format, version 0.0.4.
std::string metrics_text(const ServiceMetrics& metrics, const MetricsOptions& options);

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

}  // namespace quern::tools
