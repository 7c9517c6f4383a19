#include "tools/bench/stress.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <random>
#include <thread>

#include "tools/bench/random_requests.h"

namespace quern::tools {
namespace {

/// One stress run: submits requests as they fall due and records when their tokens arrive.
class Stress {
 public:
  Stress(Engine& engine, const StressSettings& settings)
      : engine_(engine), settings_(settings), generator_(settings.seed) {}

  void warm_up(const Interrupted& interrupted) {
    for (int i = 0; i < settings_.warm_up && !interrupted(); ++i) {
      std::vector<Request> requests;
      requests.reserve(engine_.options().max_seqs);
      for (int k = 0; k < engine_.options().max_seqs; ++k) requests.push_back(any_request());
      const auto go_on = [&](const Update& /*update*/) { return !interrupted(); };
      for (const Result& result : engine_.generate(requests, go_on)) {
        require_success(result.finish_reason, result.error);
      }
    }
  }

  void start() {
    if (engine_.options().time_steps) take_step_times(engine_);  // the warm-up's
    begin_ = Clock::now();
    for (int i = 0; i < settings_.num_requests; ++i) submit_any(0);
    next_ms_ = settings_.num_requests > 0 ? kNever : time_to_next_ms();
  }

  /// Submits what is due; true while more will follow.
  bool submit_due() {
    while (next_ms_ < settings_.seconds * 1e3 && next_ms_ <= now_ms()) {
      submit_any(next_ms_);
      next_ms_ += time_to_next_ms();
    }
    return next_ms_ < settings_.seconds * 1e3;
  }

  void step() {
    const std::vector<Update> updates = engine_.step();
    const double now = now_ms();
    for (const Update& update : updates) take(update, now);
  }

  /// Sleeps until the next request is due, at most 20 ms, so that an interruption is noticed.
  void sleep() const {
    constexpr double kAtMostMs = 20;
    const double pause_ms = std::min(next_ms_ - now_ms(), kAtMostMs);
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(pause_ms));
  }

  void cancel_all() {
    for (const auto& [id, client] : clients_) engine_.cancel(id);
    while (engine_.busy()) engine_.step();
    for (const auto& [id, client] : clients_) engine_.take_result(id);
  }

  const StressResult& result() {
    result_.seconds = now_ms() / 1e3;
    return result_;
  }

 private:
  static constexpr double kNever = std::numeric_limits<double>::infinity();
  using Clock = std::chrono::steady_clock;
  struct Client {
    double due_ms = 0;
    double last_token_ms = -1;  ///< negative before the first
  };

  double now_ms() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin_).count();
  }
  double time_to_next_ms() {
    return std::exponential_distribution<double>(settings_.rate / 1e3)(generator_);
  }
  void submit_any(double due_ms) {
    const Request request = any_request();
    clients_[engine_.submit(request)].due_ms = due_ms;
    ++result_.num_requests;
    result_.input_tokens += request.prompt_ids.size();
  }
  Request any_request() {
    const auto any_length = [&](int longest) {
      return std::uniform_int_distribution<int>(1, longest)(generator_);
    };
    const int input_len = any_length(settings_.max_input_len);
    const int output_len = any_length(settings_.max_output_len);
    return random_request(generator_, engine_.info().vocab_size, input_len, output_len);
  }

  void take(const Update& update, double now) {
    const auto found = clients_.find(update.id);
    if (found == clients_.end()) return;
    Client& client = found->second;
    for (std::size_t i = 0; i < update.token_ids.size(); ++i) {
      if (client.last_token_ms < 0) {
        result_.first_tokens.push_back(now - client.due_ms);
      } else {
        result_.inter_tokens.push_back(now - client.last_token_ms);
      }
      client.last_token_ms = now;
    }
    result_.output_tokens += update.token_ids.size();
    if (!update.finish_reason) return;
    require_success(*update.finish_reason, update.error);
    result_.latencies.push_back(now - client.due_ms);
    ++result_.num_finished;
    engine_.take_result(update.id);
    clients_.erase(found);
  }

  Engine& engine_;
  const StressSettings& settings_;
  std::mt19937_64 generator_;
  Clock::time_point begin_;
  double next_ms_ = 0;  ///< when the next request is due
  std::map<RequestId, Client> clients_;
  StressResult result_;
};

}  // namespace

StressResult run_stress(Engine& engine, const StressSettings& settings,
                        const Interrupted& interrupted,
                        const std::function<void(std::uint64_t, std::uint64_t)>& tick) {
  Stress stress(engine, settings);
  stress.warm_up(interrupted);
  stress.start();
  while (!interrupted()) {
    const bool more = stress.submit_due();
    if (engine.busy()) {
      stress.step();
    } else if (more) {
      stress.sleep();
    } else {
      break;
    }
    if (tick) {
      const StressResult& so_far = stress.result();
      tick(so_far.num_requests, so_far.num_finished);
    }
  }
  StressResult result = stress.result();
  if (engine.options().time_steps) result.step_times = take_step_times(engine);
  stress.cancel_all();
  return result;
}

}  // namespace quern::tools
