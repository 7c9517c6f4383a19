#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "quern/service.h"
#include "tests/support/sanitizers.h"
#include "tests/tools/server/raw_client.h"
#include "tools/server/api_server.h"

namespace quern::testing {

/// A demo model behind HTTP, on a free port of this machine; on the CPU unless `engine` says
/// otherwise.
class TestServer {
 public:
  explicit TestServer(const std::string& model, tools::ServerOptions options = {},
                      ServiceOptions service_options = {}, EngineOptions engine = {})
      : service_(Service::start(folder(model), with_device(engine), service_options)) {
    options.model_names.insert(options.model_names.begin(), model);
    options.access_log = false;
    server_.emplace(service_, read_model_info(folder(model)), options);
  }

  static std::string folder(const std::string& model) {
    return (std::filesystem::path(QUERN_SOURCE_DIR) / "examples" / "models" / model).string();
  }

  Service& service() { return service_; }
  std::uint16_t port() const { return server_->port(); }
  void wait_until_ready() { service_.wait_until_ready(); }

  /// One request on a connection of its own.
  RawAnswer ask(const std::string& method, const std::string& path, const std::string& body = "",
                const std::string& fields = "") const {
    RawClient client(port());
    client.send(request_text(method, path, body, fields));
    return client.read(method == "HEAD");
  }
  RawAnswer post(const std::string& path, const std::string& body) const {
    return ask("POST", path, body, "Content-Type: application/json\r\n");
  }

  /// Waits until nothing runs or waits; false if that takes more than five seconds
  /// (kPatienceFactor times that).
  bool becomes_idle() const {
    using std::chrono::steady_clock;
    const auto limit = steady_clock::now() + std::chrono::seconds(5 * kPatienceFactor);
    while (steady_clock::now() < limit) {
      const ServiceMetrics metrics = service_.metrics();
      if (metrics.num_running == 0 && metrics.num_waiting == 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  static EngineOptions with_device(EngineOptions options) {
    if (options.device == DeviceChoice::automatic) options.device = DeviceChoice::cpu;
    options.threads = 2;
    return options;
  }

  Service service_;
  std::optional<tools::ApiServer> server_;
};

/// Tests that share one server for each model: tale-gpt2 for completions, tale-qwen2 for chats.
class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    gpt2_ = std::make_unique<TestServer>("tale-gpt2");
    qwen2_ = std::make_unique<TestServer>("tale-qwen2");
    gpt2_->wait_until_ready();
    qwen2_->wait_until_ready();
  }
  static void TearDownTestSuite() {
    gpt2_.reset();
    qwen2_.reset();
  }

  /// 400 with these parts in its message, and the field as its param.
  static void expect_refused(const RawAnswer& answer, const std::string& param,
                             const std::string& part) {
    ASSERT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.error("param"), param) << answer.body;
    EXPECT_EQ(answer.error("type"), "invalid_request_error");
    EXPECT_NE(answer.error("message").find(part), std::string::npos) << answer.body;
  }

  // One for all tests of a suite. NOLINTBEGIN
  static inline std::unique_ptr<TestServer> gpt2_;
  static inline std::unique_ptr<TestServer> qwen2_;
  // NOLINTEND
};

}  // namespace quern::testing
