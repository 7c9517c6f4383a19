/* Part of quern/quern.h: engines. */
#ifndef QUERN_C_ENGINE_H
#define QUERN_C_ENGINE_H

#include "quern/c/base.h"
#include "quern/c/request.h"
#include "quern/c/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A model on a device, ready to generate. */
typedef struct quern_engine quern_engine;

typedef int32_t quern_device;
enum { QUERN_DEVICE_AUTO = 0, QUERN_DEVICE_CPU = 1, QUERN_DEVICE_CUDA = 2 };

typedef int32_t quern_device_loop;
enum { QUERN_DEVICE_LOOP_AUTO = 0, QUERN_DEVICE_LOOP_OFF = 1, QUERN_DEVICE_LOOP_REQUIRE = 2 };

typedef int32_t quern_kv_reservation;
enum { QUERN_KV_RESERVATION_DEFAULT = 0, QUERN_KV_FULL = 1, QUERN_KV_GROW = 2 };

typedef int32_t quern_activation_quantization;
enum {
  QUERN_ACTIVATIONS_FLOAT = 0,
  QUERN_ACTIVATIONS_CHECKPOINT = 1,
  QUERN_ACTIVATIONS_INT8 = 2, /**< on the CPU */
  QUERN_ACTIVATIONS_TOKEN = 3 /**< with quantize uint8: W8A8 */
};

typedef int32_t quern_kv_cache_dtype;
enum {
  QUERN_KV_AUTO = 0, /**< the activation dtype */
  QUERN_KV_INT8 = 1,
  QUERN_KV_FP8 = 2,
  QUERN_KV_K16V8 = 3 /**< keys in the activation dtype, values as int8 */
};

/** Called before the first weight and after each; a return value other than 0 ends the load with
    QUERN_STOPPED. */
typedef int (*quern_load_callback)(void* user_data, uint64_t done_bytes, uint64_t total_bytes);

/** The limits an engine is built for; 0 is the default everywhere. quern/engine.h has the same
    names with all details. */
typedef struct quern_engine_options {
  size_t struct_size; /**< sizeof(quern_engine_options) */
  quern_device device;
  quern_optional_int device_index; /**< CUDA's index of the GPU; unset: the first supported one */
  quern_dtype dtype;    /**< of activations; default: float32 on the CPU, else the checkpoint's */
  quern_dtype quantize; /**< the layers' matrices at load: uint4, uint8, float8_e4m3; default: no */
  quern_activation_quantization quantize_activations; /**< default: not */
  int32_t threads;                     /**< CPU threads; 0: all that the process may use */
  int32_t max_seqs;                    /**< concurrent sequences; 0: 8 */
  int32_t max_seq_len;                 /**< tokens of one sequence; 0: the model's */
  int32_t max_tokens_per_step;         /**< 0: 512 */
  int32_t max_mixed_tokens;            /**< 0: 256 on a GPU, on the CPU max_tokens_per_step */
  uint64_t kv_cache_memory_bytes;      /**< 0: from max_seqs and max_seq_len, and what is free */
  quern_kv_reservation kv_reservation; /**< default: full */
  quern_choice prefix_cache;           /**< default: on */
  int32_t skip_steps;
  int32_t check_interval; /**< 0: 1 */
  quern_device_loop device_loop;
  quern_load_callback on_load; /**< NULL: none */
  void* on_load_user_data;
  quern_kv_cache_dtype kv_cache_dtype; /**< what keys and values are stored as */
  /** Default: off. On: the same bits for a request alone and in any batch, also on a GPU. */
  quern_choice deterministic;
} quern_engine_options;

/** Random weights in a known shape ("llama_7b"), for timing; such an engine has no tokenizer. */
typedef struct quern_random_model {
  size_t struct_size; /**< sizeof(quern_random_model) */
  const char* shape;
  int32_t num_layers; /**< keep only the first so many; 0: all */
  int32_t outliers;   /**< 1: some channels are much larger than others */
  uint64_t weights_seed;
} quern_random_model;

/** Loads a Hugging Face folder, or "org/name" from the local cache. options may be NULL. Free with
    quern_engine_free. Errors: as quern::Engine::load. */
QUERN_C_API quern_status quern_engine_load(const char* model, const quern_engine_options* options,
                                           quern_engine** engine);
QUERN_C_API quern_status quern_engine_load_random(const quern_random_model* model,
                                                  const quern_engine_options* options,
                                                  quern_engine** engine);
/** NULL is ignored. */
QUERN_C_API void quern_engine_free(quern_engine* engine);

/** The message of the engine's last call that failed; "" before. Valid until the next
    that fails. */
QUERN_C_API const char* quern_engine_error(const quern_engine* engine);

/** Queues a request; *id may be NULL. Errors: QUERN_INVALID_ARGUMENT for what cannot run. */
QUERN_C_API quern_status quern_engine_submit(quern_engine* engine, const quern_request* request,
                                             uint64_t* id);

/** Runs one step, or decode steps up to the next stop check, and gives the new output, possibly
    none: a view that is valid until the next call of this function or quern_engine_free. A step
   that fails as a whole is no error here: it ends all requests with QUERN_FINISH_ERROR. */
QUERN_C_API quern_status quern_engine_step(quern_engine* engine, quern_updates* updates);

/** 1 while requests wait or run. */
QUERN_C_API int quern_engine_busy(const quern_engine* engine);

/** Ends a request at the next stop check. Unknown and finished ids are ignored. Thread-safe. */
QUERN_C_API void quern_engine_cancel(quern_engine* engine, uint64_t id);

/** Takes a finished request's result; *result is NULL while it is running, and after it was taken.
    Of results that nobody takes the engine keeps the newest 16384. Free with quern_result_free. */
QUERN_C_API quern_status quern_engine_take_result(quern_engine* engine, uint64_t id,
                                                  quern_result** result);

/** Receives an update, a view valid during the call. A return value other than 0 cancels the
    request. It must not free the engine. */
typedef int (*quern_update_callback)(void* user_data, const quern_update* update);

/** Submits num_requests requests, steps until all are done, and fills results[num_requests], in
    order; some may have ended with QUERN_FINISH_ERROR. on_update may be NULL. Free each result with
    quern_result_free. On an error none of the requests has run, and results are NULL. */
QUERN_C_API quern_status quern_engine_generate(quern_engine* engine,
                                               const quern_request* const* requests,
                                               size_t num_requests, quern_update_callback on_update,
                                               void* user_data, quern_result** results);

/** Receives rows of logits [num_rows, vocab_size], row-major, in order. A return value other than 0
    ends the call with QUERN_STOPPED. */
typedef int (*quern_logits_callback)(void* user_data, const float* rows, size_t num_rows);

/** The logits of positions `first` … num_ids - 1 of a prompt; no request may be running. Fills
    logits [num_ids - first, vocab_size], float32; num_floats is what there is room for. */
QUERN_C_API quern_status quern_engine_logits(quern_engine* engine, const int32_t* ids,
                                             size_t num_ids, size_t first, float* logits,
                                             size_t num_floats);
/** The same, a few rows at a time. */
QUERN_C_API quern_status quern_engine_logits_rows(quern_engine* engine, const int32_t* ids,
                                                  size_t num_ids, size_t first,
                                                  quern_logits_callback on_rows, void* user_data);

/** The engine's tokenizer, a view. Every call with that of random weights fails. */
QUERN_C_API const quern_tokenizer* quern_engine_tokenizer(const quern_engine* engine);

/** Facts of a checkpoint. The library may add fields at the end. */
typedef struct quern_model_info {
  quern_string name;       /**< the folder, or the shape of random weights */
  quern_string folder;     /**< empty for random weights */
  quern_string model_type; /**< as in config.json */
  int32_t random_weights;
  int32_t vocab_size;
  int32_t hidden_size;
  int32_t intermediate_size;
  int32_t num_hidden_layers;
  int32_t num_attention_heads;
  int32_t num_key_value_heads;
  int32_t head_dim;
  int32_t max_position_embeddings;
  quern_dtype checkpoint_dtype;
  uint64_t num_parameters;
  quern_token_ids eos_token_ids;
} quern_model_info;

QUERN_C_API const quern_model_info* quern_engine_info(const quern_engine* engine);

/** Reads the facts only, from the headers of the model's files. Free with quern_model_info_free. */
QUERN_C_API quern_status quern_model_info_read(const char* model, quern_model_info** info);
/** NULL is ignored. */
QUERN_C_API void quern_model_info_free(quern_model_info* info);

/** Fills options, whose struct_size is set, with what is in force: device, dtype, limits. */
QUERN_C_API quern_status quern_engine_get_options(const quern_engine* engine,
                                                  quern_engine_options* options);

/** Planned bytes. */
typedef struct quern_memory_plan {
  size_t struct_size; /**< sizeof(quern_memory_plan) */
  uint64_t weight_bytes;
  uint64_t kv_cache_bytes;
  uint64_t activation_bytes;
  uint64_t workspace_bytes;
  uint64_t step_input_bytes;
  uint64_t recording_bytes;
  uint64_t total_bytes;
  int64_t num_kv_blocks;
  int32_t kv_block_tokens;
  int32_t num_recordings;
  uint64_t kv_scale_bytes; /**< the scales' part of kv_cache_bytes */
} quern_memory_plan;

/** Fills plan, whose struct_size is set. */
QUERN_C_API quern_status quern_engine_memory_plan(const quern_engine* engine,
                                                  quern_memory_plan* plan);

/** Counters and times since load (without load_ms). */
typedef struct quern_timing {
  size_t struct_size; /**< sizeof(quern_timing) */
  double load_ms;
  double time_to_first_token_ms; /**< of the latest generate or first step */
  double prefill_tokens_per_s;
  double decode_tokens_per_s;
  double total_ms; /**< spent in steps */
  uint64_t prefill_tokens;
  uint64_t cached_prompt_tokens;
  uint64_t decode_tokens;
  uint64_t steps_run;
  uint64_t stop_checks;
  uint64_t host_syncs;
  uint64_t peak_memory_bytes;
  int32_t device_loop; /**< 1: the latest decode steps ran in a loop on the device */
  int32_t reserved;
} quern_timing;

/** Fills timing, whose struct_size is set. */
QUERN_C_API quern_status quern_engine_timing(const quern_engine* engine, quern_timing* timing);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUERN_C_ENGINE_H */
