#include "tools/server/access_log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "quern/text.h"

namespace quern::tools {
namespace {

spdlog::logger& access_logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("access",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %v");
    return made;
  }();
  return *logger;
}

}  // namespace

void log_access(const HttpRecord& record) {
  access_logger().info("{} {} {} {} {} bytes {:.1f} ms {}", record.client,
                       record.method.empty() ? "-" : record.method, quoted_name(record.target),
                       record.status == 0 ? std::string("left") : std::to_string(record.status),
                       record.body_bytes, record.total_ms, record.id.empty() ? "-" : record.id);
}

void log_failure(const std::string& id, const std::string& what) {
  access_logger().error("error: request {}: {}", id, shortened_text(what, 500));
}

}  // namespace quern::tools
