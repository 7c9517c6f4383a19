#include "quern/service.h"

#include <utility>

#include "base/error.h"
#include "serve/engine_thread.h"

namespace quern {

const char* service_state_name(ServiceState state) {
  switch (state) {
    case ServiceState::loading:
      return "loading";
    case ServiceState::ready:
      return "ready";
    case ServiceState::draining:
      return "draining";
    case ServiceState::failed:
      return "failed";
    case ServiceState::stopped:
      return "stopped";
  }
  return "unknown";
}

class Service::Impl : public EngineThread {
 public:
  using EngineThread::EngineThread;
};

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Service::Service(Service&&) noexcept = default;
Service& Service::operator=(Service&&) noexcept = default;
Service::~Service() = default;

Service Service::start(const ModelSource& model, const EngineOptions& engine_options,
                       const ServiceOptions& options) {
  const auto load = [model, engine_options](const LoadCallback& on_load) {
    EngineOptions own_options = engine_options;
    if (!own_options.kv_reservation) own_options.kv_reservation = KvReservation::grow;
    own_options.on_load = [&](const LoadProgress& progress) {
      if (engine_options.on_load) engine_options.on_load(progress);
      on_load(progress);
    };
    return Engine::load(model, own_options);
  };
  return Service(std::make_unique<Impl>(load, options));
}

ServiceState Service::state() const { return impl_->state(); }
void Service::wait_until_ready() { impl_->wait_until_ready(); }
std::string Service::failure() const { return impl_->failure(); }

std::shared_ptr<ResponseStream> Service::submit(const Request& request, SubmitOptions options) {
  return impl_->submit(request, std::move(options));
}

void Service::drain(std::chrono::milliseconds timeout) { impl_->drain(timeout); }
void Service::abort() { impl_->abort(); }
ServiceMetrics Service::metrics() const { return impl_->metrics(); }

const Tokenizer& Service::tokenizer() const { return impl_->engine().tokenizer(); }
const ModelInfo& Service::info() const { return impl_->engine().info(); }
const EngineOptions& Service::engine_options() const { return impl_->engine().options(); }
Request Service::resolve(const Request& request) const { return impl_->engine().resolve(request); }

}  // namespace quern
