#include <algorithm>
#include <utility>

#include "quern/version.h"
#include "tools/server/endpoints/endpoints.h"
#include "tools/server/metrics/metrics_text.h"
#include "tools/server/openai/api_error.h"
#include "tools/server/openai/openapi_json.h"

namespace quern::tools {
namespace {

OrderedJson model_json(const ApiContext& context, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", context.created()},
          {"owned_by", "quern"},
          {"root", context.model_name()},
          {"max_model_len", context.limits().max_seq_len}};
}

}  // namespace

void Call::answer(HttpResponse response) const {
  for (const auto& [name, value] : headers.fields()) response.headers.add(name, value);
  exchange->respond(std::move(response));
}

void tell_health(const ApiContext& context, const Call& call) {
  context.require_ready();
  call.answer(json_response({{"status", "ok"}}));
}

void tell_version(const ApiContext& /*context*/, const Call& call) {
  call.answer(json_response({{"version", version()}, {"commit", commit()}}));
}

void tell_metrics(const ApiContext& context, const Call& call) {
  HttpResponse response;
  response.headers.add("Content-Type", kMetricsContentType);
  response.body = metrics_text(context.service().metrics(),
                               {context.model_name(), context.options().vllm_metrics});
  call.answer(std::move(response));
}

void tell_openapi(const ApiContext& /*context*/, const Call& call) {
  HttpResponse response;
  response.headers.add("Content-Type", "application/json");
  response.body = kOpenapiJson;
  call.answer(std::move(response));
}

void list_models(const ApiContext& context, const Call& call) {
  context.require_ready();
  OrderedJson list = OrderedJson::array();
  for (const std::string& name : context.options().model_names) {
    list.push_back(model_json(context, name));
  }
  call.answer(json_response({{"object", "list"}, {"data", std::move(list)}}));
}

void describe_model(const ApiContext& context, const Call& call) {
  context.require_ready();
  constexpr std::string_view kPrefix = "/v1/models/";
  const std::string name(call.request().path().substr(kPrefix.size()));
  call.answer(json_response(model_json(context, context.served_name(name))));
}

}  // namespace quern::tools
