#include "quern/compare.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/error.h"
#include "compare/lock_step.h"
#include "compare/side.h"
#include "runtime/load/backend_choice.h"
#include "runtime/load/device_scope.h"
#include "runtime/load/opened_model.h"

namespace quern {
namespace {

int num_tokens(const OpenedModel& model, const Request& request) {
  if (!request.prompt_ids.empty()) return static_cast<int>(request.prompt_ids.size());
  return static_cast<int>(
      model.tokenizer->encode(request.prompt, {request.parse_special, request.add_bos}).size());
}

/// The tested side's options with room for all prompts in one batch.
EngineOptions with_room(EngineOptions options, std::span<const Request> prompts) {
  options.max_seqs = static_cast<int>(prompts.size());
  options.max_tokens_per_step = std::max(options.max_tokens_per_step, options.max_seqs);
  return resolve_options(options);
}

/// Default: the longest prompt with its decode steps.
void set_max_seq_len(const OpenedModel& model, std::span<const Request> prompts, int decode_steps,
                     EngineOptions& options) {
  if (options.max_seq_len != 0) return;
  int longest = 1;
  for (const Request& request : prompts) longest = std::max(longest, num_tokens(model, request));
  options.max_seq_len = std::min(longest + decode_steps + 1, model.config.max_position_embeddings);
}

}  // namespace

Comparison compare(const ModelSource& model, std::span<const Request> prompts,
                   const CompareOptions& options) {
  if (prompts.empty()) {
    fail(ErrorCode::invalid_argument, "compare: expected at least one prompt, got none");
  }
  if (options.decode_steps < 0) {
    fail(ErrorCode::invalid_argument, "decode_steps {}: expected 0 or more", options.decode_steps);
  }
  EngineOptions tested_options = with_room(options.tested, prompts);
  OpenedModel tested_model = open_model(model, tested_options);
  tested_options.dtype = tested_model.graph.activation_dtype;
  set_max_seq_len(tested_model, prompts, options.decode_steps, tested_options);

  EngineOptions reference_options = tested_options;
  reference_options.device = options.reference_device;
  reference_options.device_index = options.reference_device_index;
  reference_options.dtype =
      options.reference_dtype ? options.reference_dtype : tested_options.dtype;
  reference_options.kv_cache_dtype =
      options.reference_kv_cache_dtype.value_or(tested_options.kv_cache_dtype);
  if (options.lock_step && reference_options.kv_cache_dtype != tested_options.kv_cache_dtype) {
    fail(ErrorCode::invalid_argument,
         "reference_kv_cache_dtype {}: expected {} as on the tested side: in lock-step both have "
         "the same keys and values",
         kv_cache_dtype_name(reference_options.kv_cache_dtype),
         kv_cache_dtype_name(tested_options.kv_cache_dtype));
  }
  reference_options = resolve_options(reference_options);

  const DeviceScope tested_scope = enter_device(tested_options);
  const DeviceScope reference_scope = enter_device(reference_options);
  ComparedSide tested(std::move(tested_model), tested_options, make_backend(tested_options));
  ComparedSide reference(open_model(model, reference_options), reference_options,
                         make_backend(reference_options));
  Comparison comparison;
  warn_of_random_weights(tested.model());
  comparison.info = model_info(tested.model());
  comparison.tested = tested.plan().options;
  comparison.reference = reference.plan().options;
  LockStep(tested, reference, options).run(prompts, comparison);
  return comparison;
}

}  // namespace quern
