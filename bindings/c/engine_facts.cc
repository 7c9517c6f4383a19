#include <utility>

#include "bindings/c/handles.h"
#include "bindings/c/requests.h"
#include "bindings/c/structs.h"
#include "bindings/c/values.h"

namespace quern::c {

OwnedInfo::OwnedInfo(ModelInfo given) : info(std::move(given)) {
  folder = info.folder.string();
  for (const auto& [id, files] : info.eos_token_ids) eos_token_ids.push_back(id);
  view.name = view_of(info.name);
  view.folder = view_of(folder);
  view.model_type = view_of(info.model_type);
  view.random_weights = info.random_weights ? 1 : 0;
  view.vocab_size = info.vocab_size;
  view.hidden_size = info.hidden_size;
  view.intermediate_size = info.intermediate_size;
  view.num_hidden_layers = info.num_hidden_layers;
  view.num_attention_heads = info.num_attention_heads;
  view.num_key_value_heads = info.num_key_value_heads;
  view.head_dim = info.head_dim;
  view.max_position_embeddings = info.max_position_embeddings;
  view.checkpoint_dtype = dtype_to_c(info.checkpoint_dtype);
  view.num_parameters = info.num_parameters;
  view.eos_token_ids = view_of(eos_token_ids);
}

}  // namespace quern::c

namespace {
using quern::c::require;
using quern::c::with_engine;
}  // namespace

extern "C" {

const quern_model_info* quern_engine_info(const quern_engine* engine) {
  return engine == nullptr ? nullptr : &engine->info.view;
}

const quern_tokenizer* quern_engine_tokenizer(const quern_engine* engine) {
  return engine == nullptr ? nullptr : &engine->tokenizer;
}

quern_status quern_model_info_read(const char* model, quern_model_info** info) {
  return quern::c::guarded([&] {
    require(info, "info");
    *info = nullptr;
    require(model, "model");
    auto read = std::make_unique<quern::c::OwnedInfo>(quern::read_model_info(std::string(model)));
    *info = &read.release()->view;
  });
}

void quern_model_info_free(quern_model_info* info) {
  delete reinterpret_cast<quern::c::OwnedInfo*>(info);
}

quern_status quern_engine_get_options(const quern_engine* engine, quern_engine_options* options) {
  return with_engine(engine, [&] {
    require(options, "options");
    quern::c::write_struct(options, quern::c::engine_options_to_c(engine->engine.options()),
                           "quern_engine_options");
  });
}

quern_status quern_engine_memory_plan(const quern_engine* engine, quern_memory_plan* plan) {
  return with_engine(engine, [&] {
    require(plan, "plan");
    const quern::MemoryPlan& planned = engine->engine.memory_plan();
    quern_memory_plan out{};
    out.weight_bytes = planned.weight_bytes;
    out.kv_cache_bytes = planned.kv_cache_bytes;
    out.activation_bytes = planned.activation_bytes;
    out.workspace_bytes = planned.workspace_bytes;
    out.step_input_bytes = planned.step_input_bytes;
    out.recording_bytes = planned.recording_bytes;
    out.total_bytes = planned.total_bytes();
    out.num_kv_blocks = planned.num_kv_blocks;
    out.kv_block_tokens = planned.kv_block_tokens;
    out.num_recordings = planned.num_recordings;
    out.kv_scale_bytes = planned.kv_scale_bytes;
    quern::c::write_struct(plan, out, "quern_memory_plan");
  });
}

quern_status quern_engine_timing(const quern_engine* engine, quern_timing* timing) {
  return with_engine(engine, [&] {
    require(timing, "timing");
    const quern::Timing measured = engine->engine.timing();
    quern_timing out{};
    out.load_ms = measured.load_ms;
    out.time_to_first_token_ms = measured.time_to_first_token_ms;
    out.prefill_tokens_per_s = measured.prefill_tokens_per_s;
    out.decode_tokens_per_s = measured.decode_tokens_per_s;
    out.total_ms = measured.total_ms;
    out.prefill_tokens = measured.prefill_tokens;
    out.cached_prompt_tokens = measured.cached_prompt_tokens;
    out.decode_tokens = measured.decode_tokens;
    out.steps_run = measured.steps_run;
    out.stop_checks = measured.stop_checks;
    out.host_syncs = measured.host_syncs;
    out.peak_memory_bytes = measured.peak_memory_bytes;
    out.device_loop = measured.loop == quern::LoopRunner::device ? 1 : 0;
    quern::c::write_struct(timing, out, "quern_timing");
  });
}

}  // extern "C"
