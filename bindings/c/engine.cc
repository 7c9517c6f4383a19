#include "quern/engine.h"

#include <algorithm>

#include "bindings/c/failure.h"
#include "bindings/c/handles.h"
#include "bindings/c/outputs.h"
#include "bindings/c/requests.h"
#include "bindings/c/structs.h"
#include "bindings/c/values.h"

namespace {

using quern::c::guarded;
using quern::c::require;
using quern::c::with_engine;

void load(const quern::ModelSource& source, const quern_engine_options* options,
          quern_engine** engine) {
  const quern::EngineOptions read = quern::c::read_engine_options(options);
  *engine = std::make_unique<quern_engine>(quern::Engine::load(source, read)).release();
}

}  // namespace

extern "C" {

quern_status quern_engine_load(const char* model, const quern_engine_options* options,
                               quern_engine** engine) {
  return guarded([&] {
    require(engine, "engine");
    *engine = nullptr;
    require(model, "model");
    load(std::string(model), options, engine);
  });
}

quern_status quern_engine_load_random(const quern_random_model* model,
                                      const quern_engine_options* options, quern_engine** engine) {
  return guarded([&] {
    require(engine, "engine");
    *engine = nullptr;
    require(model, "model");
    const auto given = quern::c::read_struct(*model, "quern_random_model");
    require(given.shape, "shape");
    quern::RandomModel source;
    source.shape = given.shape;
    if (given.num_layers != 0) source.num_layers = given.num_layers;
    source.outliers = given.outliers != 0;
    source.weights_seed = given.weights_seed;
    load(source, options, engine);
  });
}

void quern_engine_free(quern_engine* engine) { delete engine; }

const char* quern_engine_error(const quern_engine* engine) {
  return engine == nullptr ? "" : engine->error.c_str();
}

quern_status quern_engine_submit(quern_engine* engine, const quern_request* request, uint64_t* id) {
  if (id != nullptr) *id = 0;
  return with_engine(engine, [&] {
    require(request, "request");
    const quern::RequestId submitted = engine->engine.submit(quern::c::read_request(*request));
    if (id != nullptr) *id = submitted;
  });
}

quern_status quern_engine_step(quern_engine* engine, quern_updates* updates) {
  if (updates != nullptr) *updates = {};
  return with_engine(engine, [&] {
    const quern_updates views = engine->updates.set(engine->engine.step());
    if (updates != nullptr) *updates = views;
  });
}

int quern_engine_busy(const quern_engine* engine) {
  return engine != nullptr && engine->engine.busy() ? 1 : 0;
}

void quern_engine_cancel(quern_engine* engine, uint64_t id) {
  if (engine != nullptr) engine->engine.cancel(id);
}

quern_status quern_engine_take_result(quern_engine* engine, uint64_t id, quern_result** result) {
  if (result != nullptr) *result = nullptr;
  return with_engine(engine, [&] {
    require(result, "result");
    if (auto taken = engine->engine.take_result(id)) {
      *result = quern::c::make_result(*std::move(taken));
    }
  });
}

quern_status quern_engine_generate(quern_engine* engine, const quern_request* const* requests,
                                   size_t num_requests, quern_update_callback on_update,
                                   void* user_data, quern_result** results) {
  if (results != nullptr) std::fill_n(results, num_requests, nullptr);
  return with_engine(engine, [&] {
    std::vector<quern::Request> read;
    if (num_requests > 0) {
      require(requests, "requests");
      require(results, "results");
    }
    for (std::size_t i = 0; i < num_requests; ++i) {
      require(requests[i], "requests[i]");
      read.push_back(quern::c::read_request(*requests[i]));
    }
    quern::UpdateCallback callback;
    if (on_update != nullptr) {
      callback = [&](const quern::Update& update) {
        quern::c::LogprobViews logprobs;
        const quern_update view = quern::c::view_of(update, logprobs);
        return on_update(user_data, &view) == 0;
      };
    }
    std::vector<quern::Result> all = engine->engine.generate(read, callback);
    std::vector<std::unique_ptr<quern_result, decltype(&quern_result_free)>> made;
    for (quern::Result& result : all) {
      made.emplace_back(quern::c::make_result(std::move(result)), quern_result_free);
    }
    for (std::size_t i = 0; i < made.size(); ++i) results[i] = made[i].release();
  });
}

quern_status quern_engine_logits(quern_engine* engine, const int32_t* ids, size_t num_ids,
                                 size_t first, float* logits, size_t num_floats) {
  return with_engine(engine, [&] {
    const auto vocab_size = static_cast<std::size_t>(engine->info.view.vocab_size);
    const std::size_t needed = first < num_ids ? (num_ids - first) * vocab_size : 0;
    if (num_floats < needed) {
      throw quern::Error(quern::ErrorCode::invalid_argument, "'num_floats': expected at least " +
                                                                 std::to_string(needed) + ", got " +
                                                                 std::to_string(num_floats));
    }
    if (needed > 0) require(logits, "logits");
    if (num_ids > 0) require(ids, "ids");
    engine->engine.logits(
        quern::c::ids_of({ids, num_ids}), first,
        [&](std::span<const float> rows) { logits = std::copy(rows.begin(), rows.end(), logits); });
  });
}

quern_status quern_engine_logits_rows(quern_engine* engine, const int32_t* ids, size_t num_ids,
                                      size_t first, quern_logits_callback on_rows,
                                      void* user_data) {
  return with_engine(engine, [&] {
    if (num_ids > 0) require(ids, "ids");
    require(reinterpret_cast<const void*>(on_rows), "on_rows");
    const auto vocab_size = static_cast<std::size_t>(engine->info.view.vocab_size);
    engine->engine.logits(quern::c::ids_of({ids, num_ids}), first,
                          [&](std::span<const float> rows) {
                            if (on_rows(user_data, rows.data(), rows.size() / vocab_size) != 0) {
                              throw quern::c::Stopped();
                            }
                          });
  });
}

}  // extern "C"
