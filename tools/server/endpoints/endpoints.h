#pragma once

#include <memory>

#include "tools/server/endpoints/context.h"
#include "tools/server/http/exchange.h"

namespace quern::tools {

/// A request in the hands of an endpoint.
struct Call {
  std::shared_ptr<Exchange> exchange;
  HttpHeaders headers;  ///< of every answer: X-Request-Id, CORS

  const HttpRequest& request() const { return exchange->request(); }
  void answer(HttpResponse response) const;
};

// Each answers a call, now or later. Errors: ApiError and Error, which become answers.

// These render and tokenize: for worker threads, with a ready engine.
void complete_chat(const ApiContext& context, const Call& call);
void complete_text(const ApiContext& context, const Call& call);
void tokenize(const ApiContext& context, const Call& call);
void detokenize(const ApiContext& context, const Call& call);
/// The prompt that a chat's messages become.
void apply_template(const ApiContext& context, const Call& call);

// These take no time.
void tell_health(const ApiContext& context, const Call& call);
void tell_version(const ApiContext& context, const Call& call);
void tell_metrics(const ApiContext& context, const Call& call);
void tell_openapi(const ApiContext& context, const Call& call);
void list_models(const ApiContext& context, const Call& call);
/// /v1/models/NAME
void describe_model(const ApiContext& context, const Call& call);

}  // namespace quern::tools
