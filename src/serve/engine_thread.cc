#include "serve/engine_thread.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "base/threads/blocked_signals.h"
#include "runtime/engine_serving.h"
#include "serve/stream.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// Thrown through Engine::load to end it.
struct LoadStopped {};

/// A time limit, short enough to be added to the time.
std::chrono::milliseconds bounded(std::chrono::milliseconds limit) {
  constexpr std::chrono::hours kLongest{24 * 365};
  return std::min<std::chrono::milliseconds>(limit, kLongest);
}

bool over(ServiceState state) {
  return state == ServiceState::failed || state == ServiceState::stopped;
}

/// Whether the engine may be used after a step that failed with this.
bool is_fatal(const Error& error) {
  return error.code() == ErrorCode::device || error.code() == ErrorCode::internal;
}

}  // namespace

EngineThread::EngineThread(MakeEngine make_engine, const ServiceOptions& options)
    : make_engine_(std::move(make_engine)),
      options_(options),
      inbox_(std::make_shared<Inbox>(options.max_queue)) {
  const BlockedSignals blocked;
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    fail(ErrorCode::device, "the engine's thread could not be started: {}", error.code().message());
  }
}

EngineThread::~EngineThread() {
  inbox_->give(Order::abort);
  thread_.join();
}

ServiceState EngineThread::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::string EngineThread::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

ServiceMetrics EngineThread::metrics() const {
  ServiceMetrics metrics = metrics_.snapshot();
  metrics.num_waiting += inbox_->num_waiting();
  metrics.state = state();
  return metrics;
}

const Engine& EngineThread::engine() const {
  const std::lock_guard lock(mutex_);
  if (!engine_) fail(ErrorCode::unavailable, "the model is not loaded");
  return *engine_;
}

void EngineThread::wait_until_ready() {
  std::unique_lock lock(mutex_);
  state_changed_.wait(lock, [&] { return state_ != ServiceState::loading; });
  if (load_error_) std::rethrow_exception(load_error_);
  if (state_ != ServiceState::ready) {
    fail(ErrorCode::unavailable, "the service is {}", service_state_name(state_));
  }
}

std::shared_ptr<ResponseStream> EngineThread::submit(const Request& request,
                                                     SubmitOptions options) {
  Submission submission;
  submission.submitted = Clock::now();
  inbox_->check_open();  // which says that there is an engine
  const auto timeout = options.timeout.value_or(options_.request_timeout);
  if (timeout.count() > 0) submission.deadline = submission.submitted + bounded(timeout);
  submission.request = prepare(*engine_, request, options.priority);
  submission.channel = std::make_shared<Channel>(std::move(options.on_output));
  const RequestId id = submission.request.id;
  auto stream = std::make_shared<Stream>(id, submission.channel, inbox_);
  inbox_->add(std::move(submission));
  return stream;
}

void EngineThread::drain(std::chrono::milliseconds timeout) {
  {
    const std::lock_guard lock(mutex_);
    if (!over(state_)) state_ = ServiceState::draining;
  }
  state_changed_.notify_all();
  inbox_->give(Order::drain);
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return over(state_); };
  if (state_changed_.wait_for(lock, bounded(timeout), is_over)) return;
  inbox_->give(Order::abort);
  state_changed_.wait(lock, is_over);
}

void EngineThread::abort() {
  {
    const std::lock_guard lock(mutex_);
    if (!over(state_)) state_ = ServiceState::draining;
  }
  state_changed_.notify_all();
  inbox_->give(Order::abort);
}

void EngineThread::set_state(ServiceState state) {
  {
    const std::lock_guard lock(mutex_);
    if (state == ServiceState::ready && state_ != ServiceState::loading) return;  // it is to drain
    state_ = state;
  }
  state_changed_.notify_all();
}

void EngineThread::run() {
  if (!load()) return;
  try {
    serve();
  } catch (const std::exception& error) {
    fail_service(error.what());
  }
  end_rest(failure());
  if (!over(state())) set_state(ServiceState::stopped);
}

bool EngineThread::load() {
  try {
    Engine engine = make_engine_([this](const LoadProgress&) {
      if (inbox_->order() != Order::serve) throw LoadStopped{};
    });
    const std::lock_guard lock(mutex_);
    engine_.emplace(std::move(engine));
  } catch (const LoadStopped&) {
    set_state(ServiceState::stopped);
    return false;
  } catch (const std::exception& error) {
    {
      const std::lock_guard lock(mutex_);
      load_error_ = std::current_exception();
    }
    fail_service(error.what());
    return false;
  }
  watch_arrivals(*engine_, [this] { return inbox_->has_submissions(); });
  inbox_->open(static_cast<std::size_t>(engine_->options().max_seqs));
  set_state(ServiceState::ready);
  return true;
}

void EngineThread::fail_service(const std::string& error) {
  inbox_->close(error);
  bool was_loaded = false;
  {
    const std::lock_guard lock(mutex_);
    failure_ = error;
    was_loaded = !load_error_;
  }
  // An error of loading is wait_until_ready()'s to report.
  if (was_loaded) log(LogLevel::warning, "the service has failed: {}", error);
  set_state(ServiceState::failed);
}

void EngineThread::serve() {
  while (true) {
    Inbox::Mail mail = inbox_->take(live_.empty());
    for (Submission& submission : mail.submissions) accept(std::move(submission));
    for (const RequestId id : mail.cancelled) engine_->cancel(id);
    if (mail.order == Order::abort) {
      for (const auto& [id, live] : live_) engine_->cancel(id);
    }
    if (live_.empty()) {
      if (mail.order != Order::serve) return;
      continue;
    }
    cancel_expired();
    std::vector<Update> updates = engine_->step();
    const auto& error = latest_step_error(*engine_);
    const bool failed = error && is_fatal(*error);
    if (failed) fail_service(error->what());
    deliver(std::move(updates));
    if (failed) return;
  }
}

void EngineThread::accept(Submission submission) {
  const RequestId id = submission.request.id;
  live_.emplace(id, LiveRequest(submission));
  if (submission.deadline) next_deadline_ = std::min(next_deadline_, *submission.deadline);
  quern::submit(*engine_, std::move(submission.request));
}

void EngineThread::cancel_expired() {
  const auto now = Clock::now();
  if (now < next_deadline_) return;
  next_deadline_ = Submission::Time::max();
  for (auto& [id, live] : live_) {
    if (!live.deadline) continue;
    if (*live.deadline > now) {
      next_deadline_ = std::min(next_deadline_, *live.deadline);
    } else {
      engine_->cancel(id);
      live.deadline.reset();
    }
  }
}

void EngineThread::deliver(std::vector<Update> updates) {
  std::vector<LiveRequest*> requests;
  requests.reserve(updates.size());
  for (const Update& update : updates) requests.push_back(&live_.at(update.id));
  std::vector<Channel::End> ends = count(updates, requests);
  auto end = ends.begin();
  for (std::size_t i = 0; i < updates.size(); ++i) {
    Update& update = updates[i];
    const RequestId id = update.id;
    const bool ends_now = update.last;
    const std::shared_ptr<Channel> channel = requests[i]->channel;
    if (ends_now) live_.erase(id);
    const bool good = ends_now ? channel->end(std::move(update), std::move(*end++))
                               : channel->put(std::move(update));
    if (good) continue;
    log(LogLevel::warning, "request {}: on_output threw an exception", id);
    if (!ends_now) engine_->cancel(id);
  }
}

std::vector<Channel::End> EngineThread::count(std::span<const Update> updates,
                                              std::span<LiveRequest* const> requests) {
  const auto now = Clock::now();
  const EngineUse use = engine_use(*engine_);
  std::vector<Channel::End> ends;
  {
    Metrics::Recorder recorder(metrics_);
    recorder.use(use);
    for (const Admission& admission : latest_admissions(*engine_)) {
      const auto found = live_.find(admission.id);
      if (found == live_.end() || found->second.admitted) continue;
      recorder.admitted(found->second, admission.time);
      ++num_admitted_;
    }
    for (std::size_t i = 0; i < updates.size(); ++i) {
      LiveRequest& request = *requests[i];
      recorder.output(request, updates[i], now);
      if (!updates[i].last) continue;
      Result result = engine_->take_result(updates[i].id).value();
      const RequestTimes times = recorder.ended(request, result.finish_reason, now);
      ends.push_back({std::move(result), times});
      if (request.admitted) --num_admitted_;
    }
  }
  inbox_->set_engine_queue(live_.size() - ends.size() - num_admitted_, use.num_free_rows);
  return ends;
}

void EngineThread::end_rest(const std::string& error) {
  for (Submission& submission : inbox_->take(false).submissions) {
    live_.emplace(submission.request.id, LiveRequest(submission));
  }
  const auto now = Clock::now();
  for (auto& [id, request] : live_) {
    const std::size_t num_answers = request.last_tokens.size();
    Result result;
    result.id = id;
    result.finish_reason = FinishReason::error;
    result.error = error;
    if (num_answers > 1) {
      result.sequences.resize(num_answers, {{}, "", FinishReason::error, error, {}, {}});
    }
    Update update;
    update.id = id;
    update.finish_reason = FinishReason::error;
    update.error = error;
    for (std::size_t i = 1; i < num_answers; ++i, ++update.sequence) request.channel->put(update);
    update.last = true;
    const RequestTimes times = Metrics::Recorder(metrics_).ended(request, FinishReason::error, now);
    request.channel->end(std::move(update), {std::move(result), times});
  }
  live_.clear();
}

}  // namespace quern
