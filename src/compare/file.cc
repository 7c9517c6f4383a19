#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "base/memory/shape.h"
#include "compare/lock_step.h"
#include "compare/side.h"
#include "io/json/json.h"
#include "quern/compare.h"
#include "quern/safetensors.h"
#include "runtime/load/backend_choice.h"
#include "runtime/load/device_scope.h"
#include "runtime/request/request_check.h"
#include "runtime/schedule/scheduler.h"

namespace quern {
namespace {

constexpr const char* kPromptIds = "prompt_ids";

/// The tensors of a file by value name.
class ReferenceFile {
 public:
  explicit ReferenceFile(const std::string& path) : file_(SafetensorsFile::open(path)) {
    for (const SafetensorsEntry& entry : file_.entries()) entries_[entry.name] = &entry;
    if (!entries_.contains(kPromptIds)) {
      fail(ErrorCode::bad_file, "{}: tensor '{}' is missing, expected the prompt's token ids", path,
           kPromptIds);
    }
  }

  std::vector<std::int32_t> prompt_ids() const {
    const SafetensorsEntry& entry = *entries_.at(kPromptIds);
    if (entry.shape.size() != 1 || (entry.stored_type != "I64" && entry.stored_type != "I32")) {
      reject(entry, "expected integers [tokens]");
    }
    std::vector<std::int32_t> ids;
    const std::size_t width = entry.stored_type == "I64" ? 8 : 4;
    const std::vector<std::byte> data = file_.read(entry);
    for (std::size_t at = 0; at < data.size(); at += width) {
      std::int64_t id = 0;  // little-endian, as we are
      std::memcpy(&id, data.data() + at, width);
      if (id < 0 || id > INT32_MAX) reject(entry, "expected token ids");
      ids.push_back(static_cast<std::int32_t>(id));
    }
    return ids;
  }

  /// Rows [begin, begin + count) of the value with that name, if the file has it.
  std::optional<HostRows> find(const Value& value, std::int64_t num_tokens, std::int64_t begin,
                               std::int64_t count) {
    const auto found = entries_.find(value.name);
    if (found == entries_.end()) return std::nullopt;
    const SafetensorsEntry& entry = *found->second;
    used_.insert(value.name);
    if (entry.shape != std::vector<std::int64_t>{num_tokens, value.cols}) {
      reject(entry, fmt::format("expected shape [{}, {}]", num_tokens, value.cols));
    }
    const auto dtype = parse_safetensors_dtype(entry.stored_type);
    if (dtype != DType::float32 && dtype != DType::float16 && dtype != DType::bfloat16) {
      reject(entry, "expected F32, F16 or BF16");
    }
    HostRows rows{std::vector<float>(static_cast<std::size_t>(count * value.cols)), value.cols};
    const std::size_t first = static_cast<std::size_t>(begin * value.cols) * dtype_bytes(*dtype);
    std::vector<std::byte> data(rows.values.size() * dtype_bytes(*dtype));
    file_.read(entry, first, data);
    load_floats(*dtype, data.data(), rows.values);
    return rows;
  }

  /// Errors: bad_file naming a tensor that the model does not have.
  void require_all_used() const {
    for (const auto& [name, entry] : entries_) {
      if (name == kPromptIds || used_.contains(name)) continue;
      reject(*entry, "the model computes no value of that name");
    }
  }

 private:
  [[noreturn]] void reject(const SafetensorsEntry& entry, const std::string& complaint) const {
    fail(ErrorCode::bad_file, "{}: tensor {} {} {}: {}", file_.path().string(),
         quoted_name(entry.name), entry.stored_type, shape_string(entry.shape), complaint);
  }

  SafetensorsFile file_;
  std::map<std::string, const SafetensorsEntry*> entries_;
  std::set<std::string> used_;
};

/// Runs the model over the file's whole prompt and compares the values in the file.
void run_against(ReferenceFile& file, ComparedSide& side, const std::vector<std::int32_t>& ids,
                 std::optional<double> max_nmse, Comparison& comparison) {
  Request request;
  request.prompt_ids = ids;
  request.max_new_tokens = 1;
  Scheduler scheduler(side.plan().limits);
  scheduler.add(make_sequence(1, request, side.model(), side.plan().limits.max_seq_len));
  Sequence* sequence = scheduler.admit().front();
  side.arrays().write_sequence(*sequence, initial_rope_alpha(side.model(), *sequence));

  const auto num_tokens = static_cast<int>(ids.size());
  side.begin({{{sequence, 0, num_tokens, false, false}}, 0, num_tokens});
  // The last rows, as many as fit.
  const int num_logits = std::min(num_tokens, side.plan().limits.max_logit_rows);
  side.arrays().write_logit_rows(side.step().batch, num_tokens - num_logits, num_logits);
  comparison.steps.push_back({num_tokens, 1, 0});
  for (const Node& node : side.graph().nodes) {
    if (std::holds_alternative<Sample>(node.op)) break;
    side.run(node);
    for (const ValueId id : op_outputs(node.op)) {
      const Value& value = side.graph().value(id);
      const std::int64_t count = side.num_rows(id);
      const auto reference = file.find(value, num_tokens, num_tokens - count, count);
      if (!reference) continue;
      const HostRows tested = side.read(id);
      ValueComparison result = compared_value(
          value.name, {tested.values, reference->values, value.cols, value.dtype, {}, {}},
          max_nmse);
      result.node = node.name;
      result.op = op_name(node.op);
      comparison.values.push_back(std::move(result));
    }
  }
  file.require_all_used();
}

}  // namespace

Comparison compare_with_file(const ModelSource& model, const std::string& file,
                             const CompareOptions& options) {
  ReferenceFile reference(file);
  const std::vector<std::int32_t> ids = reference.prompt_ids();
  EngineOptions resolved = options.tested;
  resolved.max_seqs = 1;
  resolved.max_seq_len = static_cast<int>(ids.size()) + 1;
  resolved.max_tokens_per_step = std::max(1, static_cast<int>(ids.size()));
  resolved = resolve_options(resolved);
  OpenedModel opened = open_model(model, resolved);
  check_prompt_ids(ids, opened.config.vocab_size, opened.config.max_position_embeddings);
  resolved.max_seq_len = std::min(resolved.max_seq_len, opened.config.max_position_embeddings);
  const DeviceScope scope = enter_device(resolved);
  ComparedSide side(std::move(opened), resolved, make_backend(resolved));
  Comparison comparison;
  comparison.info = model_info(side.model());
  comparison.tested = side.plan().options;
  run_against(reference, side, ids, options.max_nmse, comparison);
  return comparison;
}

}  // namespace quern
