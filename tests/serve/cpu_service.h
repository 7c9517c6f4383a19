#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "quern/service.h"
#include "tests/runtime/greedy_request.h"
#include "tests/support/test_files.h"

namespace quern::testing {

inline std::string model_path() { return demo_model("tale-llama").string(); }

inline EngineOptions cpu_options() {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.threads = 2;
  options.max_seqs = 4;
  options.max_seq_len = 256;
  return options;
}

inline Service start_service(const ServiceOptions& options = {},
                             const EngineOptions& engine_options = cpu_options(),
                             const std::string& model = model_path()) {
  return Service::start(model, engine_options, options);
}

/// All updates of a stream, put together.
struct Output {
  std::vector<std::int32_t> token_ids;
  std::string text;
  std::size_t num_logprobs = 0;
  FinishReason finish_reason = FinishReason::error;
  int num_last = 0;
};

inline Output read_to_end(ResponseStream& stream) {
  Output output;
  for (auto updates = stream.wait(); !updates.empty(); updates = stream.wait()) {
    for (const Update& update : updates) {
      output.token_ids.insert(output.token_ids.end(), update.token_ids.begin(),
                              update.token_ids.end());
      output.text += update.text;
      output.num_logprobs += update.logprobs.size();
      if (update.finish_reason) output.finish_reason = *update.finish_reason;
      output.num_last += update.last ? 1 : 0;
    }
  }
  return output;
}

/// Holds up threads until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }
  void wait() { pass(); }
  void open() {
    {
      const std::lock_guard lock(mutex_);
      open_ = true;
    }
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

}  // namespace quern::testing
