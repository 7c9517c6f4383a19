"""The structs of the C API, field by field as include/quern/c declares them."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p


class String(ctypes.Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


class OptionalInt(ctypes.Structure):
    _fields_ = [("is_set", c_int32), ("value", c_int32)]


class OptionalFloat(ctypes.Structure):
    _fields_ = [("is_set", c_int32), ("value", c_float)]


class OptionalUint64(ctypes.Structure):
    _fields_ = [("is_set", c_int32), ("reserved", c_int32), ("value", c_uint64)]


class LogitBias(ctypes.Structure):
    _fields_ = [("id", c_int32), ("bias", c_float)]


class TokenIds(ctypes.Structure):
    _fields_ = [("ids", c_void_p), ("count", c_size_t)]


class SamplingParams(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("greedy", c_int32),
        ("dry_breakers_choice", c_int32),
        ("temperature", OptionalFloat),
        ("top_k", OptionalInt),
        ("top_p", OptionalFloat),
        ("min_p", OptionalFloat),
        ("top_n_sigma", OptionalFloat),
        ("typical_p", OptionalFloat),
        ("epsilon_cutoff", OptionalFloat),
        ("eta_cutoff", OptionalFloat),
        ("xtc_probability", OptionalFloat),
        ("xtc_threshold", OptionalFloat),
        ("repetition_penalty", OptionalFloat),
        ("presence_penalty", OptionalFloat),
        ("frequency_penalty", OptionalFloat),
        ("no_repeat_ngram_size", OptionalInt),
        ("dry_multiplier", OptionalFloat),
        ("dry_base", OptionalFloat),
        ("dry_allowed_length", OptionalInt),
        ("dry_range", OptionalInt),
        ("dry_sequence_breakers", c_void_p),
        ("num_dry_sequence_breakers", c_size_t),
        ("logit_bias", c_void_p),
        ("num_logit_bias", c_size_t),
        ("seed", OptionalUint64),
        ("mirostat_tau", OptionalFloat),
        ("mirostat_eta", OptionalFloat),
    ]


class Request(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("prompt", String),
        ("prompt_ids", TokenIds),
        ("parse_special", c_int32),
        ("add_bos", c_int32),
        ("sampling", POINTER(SamplingParams)),
        ("num_beams", c_int32),
        ("early_stopping", c_int32),
        ("length_penalty", OptionalFloat),
        ("num_return_sequences", c_int32),
        ("max_new_tokens", c_int32),
        ("min_new_tokens", OptionalInt),
        ("stop_token_ids", TokenIds),
        ("bad_words_ids", c_void_p),
        ("num_bad_words_ids", c_size_t),
        ("stop", c_void_p),
        ("num_stop", c_size_t),
        ("ignore_eos", c_int32),
        ("keep_special", c_int32),
        ("top_logprobs", OptionalInt),
        ("prompt_logprobs", OptionalInt),
    ]


class TokenLogprob(ctypes.Structure):
    _fields_ = [("id", c_int32), ("logprob", c_float)]


class TokenLogprobs(ctypes.Structure):
    _fields_ = [("id", c_int32), ("logprob", c_float), ("top", POINTER(TokenLogprob)), ("num_top", c_size_t)]


class Logprobs(ctypes.Structure):
    _fields_ = [("tokens", POINTER(TokenLogprobs)), ("count", c_size_t)]


class Update(ctypes.Structure):
    _fields_ = [
        ("id", c_uint64),
        ("sequence", c_int32),
        ("finish_reason", c_int32),
        ("last", c_int32),
        ("reserved", c_int32),
        ("token_ids", TokenIds),
        ("text", String),
        ("logprobs", Logprobs),
        ("prompt_logprobs", Logprobs),
        ("error", String),
    ]


class Updates(ctypes.Structure):
    _fields_ = [("first", c_void_p), ("count", c_size_t), ("stride", c_size_t)]


class SequenceResult(ctypes.Structure):
    _fields_ = [
        ("output_ids", TokenIds),
        ("text", String),
        ("finish_reason", c_int32),
        ("score", OptionalFloat),
        ("error", String),
        ("logprobs", Logprobs),
    ]


class Usage(ctypes.Structure):
    _fields_ = [("prompt_tokens", c_uint64), ("cached_prompt_tokens", c_uint64), ("completion_tokens", c_uint64)]


class Result(ctypes.Structure):
    _fields_ = [
        ("id", c_uint64),
        ("seed", c_uint64),
        ("usage", Usage),
        ("prompt_ids", TokenIds),
        ("prompt_logprobs", Logprobs),
        ("sequences", POINTER(POINTER(SequenceResult))),
        ("num_sequences", c_size_t),
    ]


LOAD_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_uint64)
LOGITS_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(c_float), c_size_t)
LOG_SINK = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p)


class EngineOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("device", c_int32),
        ("device_index", OptionalInt),
        ("dtype", c_int32),
        ("quantize", c_int32),
        ("quantize_activations", c_int32),
        ("threads", c_int32),
        ("max_seqs", c_int32),
        ("max_seq_len", c_int32),
        ("max_tokens_per_step", c_int32),
        ("max_mixed_tokens", c_int32),
        ("kv_cache_memory_bytes", c_uint64),
        ("kv_reservation", c_int32),
        ("prefix_cache", c_int32),
        ("skip_steps", c_int32),
        ("check_interval", c_int32),
        ("device_loop", c_int32),
        ("on_load", LOAD_CALLBACK),
        ("on_load_user_data", c_void_p),
        ("kv_cache_dtype", c_int32),
        ("deterministic", c_int32),
    ]


class RandomModel(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("shape", c_char_p),
        ("num_layers", c_int32),
        ("outliers", c_int32),
        ("weights_seed", c_uint64),
    ]


class ModelInfo(ctypes.Structure):
    _fields_ = [
        ("name", String),
        ("folder", String),
        ("model_type", String),
        ("random_weights", c_int32),
        ("vocab_size", c_int32),
        ("hidden_size", c_int32),
        ("intermediate_size", c_int32),
        ("num_hidden_layers", c_int32),
        ("num_attention_heads", c_int32),
        ("num_key_value_heads", c_int32),
        ("head_dim", c_int32),
        ("max_position_embeddings", c_int32),
        ("checkpoint_dtype", c_int32),
        ("num_parameters", c_uint64),
        ("eos_token_ids", TokenIds),
    ]


class MemoryPlan(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("weight_bytes", c_uint64),
        ("kv_cache_bytes", c_uint64),
        ("activation_bytes", c_uint64),
        ("workspace_bytes", c_uint64),
        ("step_input_bytes", c_uint64),
        ("recording_bytes", c_uint64),
        ("total_bytes", c_uint64),
        ("num_kv_blocks", c_int64),
        ("kv_block_tokens", c_int32),
        ("num_recordings", c_int32),
        ("kv_scale_bytes", c_uint64),
    ]


class Timing(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("load_ms", c_double),
        ("time_to_first_token_ms", c_double),
        ("prefill_tokens_per_s", c_double),
        ("decode_tokens_per_s", c_double),
        ("total_ms", c_double),
        ("prefill_tokens", c_uint64),
        ("cached_prompt_tokens", c_uint64),
        ("decode_tokens", c_uint64),
        ("steps_run", c_uint64),
        ("stop_checks", c_uint64),
        ("host_syncs", c_uint64),
        ("peak_memory_bytes", c_uint64),
        ("device_loop", c_int32),
        ("reserved", c_int32),
    ]


class EncodeOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("parse_special", c_int32),
        ("add_bos", c_int32),
        ("max_tokens", c_uint64),
    ]


class ChatVariable(ctypes.Structure):
    _fields_ = [("name", String), ("value", String)]


class ChatInput(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("messages", String),
        ("tools", String),
        ("documents", String),
        ("add_generation_prompt", c_int32),
        ("variables", POINTER(ChatVariable)),
        ("num_variables", c_size_t),
        ("date", c_char_p),
    ]


class TextRange(ctypes.Structure):
    _fields_ = [("begin", c_size_t), ("end", c_size_t)]


class RenderedChat(ctypes.Structure):
    _fields_ = [("text", String), ("untrusted", POINTER(TextRange)), ("num_untrusted", c_size_t)]


class AnswerOptions(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("tool_calls", c_int32),
        ("parse_reasoning", c_int32),
        ("begins_in_reasoning", c_int32),
        ("reserved", c_int32),
    ]


class ToolCall(ctypes.Structure):
    _fields_ = [("id", String), ("name", String), ("arguments", String)]


class AnswerDelta(ctypes.Structure):
    _fields_ = [
        ("content", String),
        ("reasoning", String),
        ("tool_calls", POINTER(ToolCall)),
        ("num_tool_calls", c_size_t),
    ]
