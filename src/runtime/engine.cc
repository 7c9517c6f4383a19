#include "quern/engine.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "model/shapes.h"
#include "runtime/engine_impl.h"
#include "runtime/load/device_scope.h"
#include "runtime/load/weight_placement.h"
#include "runtime/request/request_check.h"

namespace quern {

std::vector<std::string> known_shapes() { return known_shape_names(); }

const char* kv_cache_dtype_name(KvCacheDType dtype) {
  switch (dtype) {
    case KvCacheDType::automatic:
      return "auto";
    case KvCacheDType::int8:
      return "int8";
    case KvCacheDType::fp8:
      return "fp8";
    case KvCacheDType::k16v8:
      break;
  }
  return "k16v8";
}

const char* loop_runner_name(LoopRunner runner) {
  switch (runner) {
    case LoopRunner::host:
      return "host";
    case LoopRunner::device:
      return "device";
  }
  return "unknown";
}

Engine Engine::load(const ModelSource& model, const EngineOptions& options) {
  const EngineOptions resolved = resolve_options(options);
  const DeviceScope scope = enter_device(resolved);
  return Engine(std::make_unique<Impl>(model, resolved));
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::Engine(Engine&&) noexcept = default;

Engine& Engine::operator=(Engine&& other) noexcept {
  Engine taken(std::move(other));
  std::swap(impl_, taken.impl_);
  return *this;
}

Engine::~Engine() {
  if (!impl_) return;
  const DeviceScope scope(impl_->plan().options);
  impl_.reset();
}

RequestId Engine::submit(const Request& request) {
  const DeviceScope scope(impl_->plan().options);
  return impl_->submit(request);
}

std::vector<Update> Engine::step() {
  const DeviceScope scope(impl_->plan().options);
  return impl_->step();
}

bool Engine::busy() const { return impl_->busy(); }
void Engine::cancel(RequestId id) { impl_->cancel(id); }
std::optional<Result> Engine::take_result(RequestId id) { return impl_->take_result(id); }

std::vector<Result> Engine::generate(std::span<const Request> requests,
                                     const UpdateCallback& on_update) {
  std::vector<RequestId> ids;
  try {
    for (const Request& request : requests) ids.push_back(submit(request));
  } catch (...) {
    for (const RequestId id : ids) impl_->forget(id);
    throw;
  }
  std::map<RequestId, Result> results;
  try {
    while (busy()) {
      const std::vector<Update> updates = step();
      for (const Update& update : updates) {
        // Ids ascend. Results are taken as they come: the number of waiting ones is bounded.
        if (!update.last || !std::binary_search(ids.begin(), ids.end(), update.id)) {
          continue;
        }
        results.emplace(update.id, take_result(update.id).value());
      }
      for (const Update& update : updates) {
        if (on_update && !on_update(update)) cancel(update.id);
      }
    }
  } catch (...) {
    impl_->discard(ids);
    throw;
  }
  std::vector<Result> in_order;
  in_order.reserve(ids.size());
  for (const RequestId id : ids) {
    if (const auto found = results.find(id); found != results.end()) {
      in_order.push_back(std::move(found->second));
    } else if (auto result = take_result(id)) {  // a callback made steps of its own
      in_order.push_back(*std::move(result));
    } else {
      fail(ErrorCode::invalid_argument,
           "request {}: its result was taken in a callback of the generate() that returns it", id);
    }
  }
  return in_order;
}

Result Engine::generate(const Request& request, const UpdateCallback& on_update) {
  return std::move(generate(std::span(&request, 1), on_update).front());
}

std::vector<float> Engine::logits(std::span<const std::int32_t> token_ids) {
  std::vector<float> all;
  all.reserve(token_ids.size() * static_cast<std::size_t>(info().vocab_size));
  logits(token_ids, 0,
         [&](std::span<const float> rows) { all.insert(all.end(), rows.begin(), rows.end()); });
  return all;
}

void Engine::logits(std::span<const std::int32_t> token_ids, std::size_t first,
                    const LogitsSink& sink) {
  const DeviceScope scope(impl_->plan().options);
  impl_->logits(token_ids, first, sink);
}

const Tokenizer& Engine::tokenizer() const { return *impl_->model().tokenizer; }
const ModelInfo& Engine::info() const { return impl_->info(); }
const MemoryPlan& Engine::memory_plan() const { return impl_->plan().memory; }
const EngineOptions& Engine::options() const { return impl_->plan().options; }

Request Engine::resolve(const Request& request) const {
  return resolve_request(request, impl_->model(), options().max_seq_len);
}

Timing Engine::timing() const {
  const DeviceScope scope(impl_->plan().options);
  return impl_->timing();
}

ModelInfo read_model_info(const ModelSource& model) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  return model_info(open_model(model, options));
}

ModelSummary inspect(const ModelSource& model, const EngineOptions& options) {
  const EngineOptions resolved = resolve_options(options);
  const DeviceScope scope = enter_device(resolved);
  const OpenedModel opened = open_model(model, resolved);
  const auto backend = make_backend(resolved);
  EnginePlan plan = plan_engine(opened, *backend, resolved);
  plan.options.on_load = nullptr;
  return {model_info(opened),
          plan.memory,
          plan.options,
          opened.tokenizer->description(),
          describe(plan.kv_format),
          dump(opened.graph),
          summarize_weights(opened, *backend),
          summarize_quantization(opened)};
}

}  // namespace quern
