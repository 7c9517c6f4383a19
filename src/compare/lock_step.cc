#include "compare/lock_step.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/check.h"
#include "runtime/request/request_check.h"
#include "runtime/schedule/scheduler.h"

namespace quern {
namespace {

/// NMSE limits per row, by the dtype of intermediate rounding. Correct code with another summation
/// order stays well below; a wrong epsilon, another GELU, TF32 or a wrong dtype does not.
double nmse_limit(DType dtype) {
  if (dtype == DType::float16) return 1e-8;
  if (dtype == DType::bfloat16) return 2e-7;
  return 1e-10;
}

/// Attention's weights are rounded too.
double attention_nmse_limit(DType dtype) {
  if (dtype == DType::float16) return 2e-7;
  if (dtype == DType::bfloat16) return 1e-5;
  return 1e-10;
}

/// Maximum share of a value's elements with loose bounds.
constexpr double kMaxLooseShare = 0.1;

/// The token rows of the step.
HostRows new_rows(const std::vector<BoundedSequence>& sequences,
                  HostRows BoundedSequence::*member) {
  HostRows rows{{}, (sequences.front().*member).cols};
  for (const BoundedSequence& sequence : sequences) {
    const HostRows& all = sequence.*member;
    const auto count = static_cast<std::ptrdiff_t>(sequence.q_len * all.cols);
    rows.values.insert(rows.values.end(), all.values.end() - count, all.values.end());
  }
  return rows;
}

}  // namespace

ValueComparison compared_value(const std::string& value, const ComparedRows& rows,
                               std::optional<double> max_nmse) {
  const RowsDifference difference = compare_rows(rows);
  ValueComparison result;
  result.value = value;
  result.cols = rows.cols;
  result.rows = std::ssize(rows.tested) / rows.cols;
  result.absolute = difference.absolute;
  result.relative = difference.relative;
  result.nmse = difference.nmse;
  result.nmse_row = difference.nmse_row;
  result.excess = difference.excess;
  result.worst_row = difference.worst / rows.cols;
  result.worst_col = difference.worst % rows.cols;
  if (!rows.tested.empty()) {
    result.worst_tested = rows.tested[static_cast<std::size_t>(difference.worst)];
    result.worst_reference = rows.reference[static_cast<std::size_t>(difference.worst)];
  }
  result.num_nan = difference.num_nan;
  result.num_infinite = difference.num_infinite;
  result.num_saturated = difference.num_saturated;
  result.max_nmse = max_nmse;
  result.over_bound =
      (max_nmse && difference.nmse_but_for_ties > *max_nmse) || difference.excess > 1.0;
  return result;
}

LockStep::LockStep(ComparedSide& tested, ComparedSide& reference, const CompareOptions& options)
    : tested_(tested), reference_(reference), options_(options), bounds_(reference) {
  QUERN_CHECK(tested.graph().nodes.size() == reference.graph().nodes.size() &&
              tested.graph().values.size() == reference.graph().values.size());
}

bool LockStep::same_dtype() const {
  return tested_.graph().activation_dtype == reference_.graph().activation_dtype;
}

void LockStep::run(std::span<const Request> prompts, Comparison& comparison) {
  comparison_ = &comparison;
  Limits limits = reference_.plan().limits;
  limits.num_blocks = std::min(limits.num_blocks, tested_.plan().limits.num_blocks);
  Scheduler scheduler(limits);
  RequestId id = 0;
  for (Request request : prompts) {
    request.sampling = {};
    request.sampling.greedy = true;
    request.stop.clear();
    request.ignore_eos = true;
    request.top_logprobs.reset();
    request.max_new_tokens = options_.decode_steps + 1;
    scheduler.add(make_sequence(++id, request, reference_.model(), limits.max_seq_len));
  }
  for (const Sequence* sequence : scheduler.admit()) {
    const float alpha = initial_rope_alpha(reference_.model(), *sequence);
    tested_.arrays().write_sequence(*sequence, alpha);
    reference_.arrays().write_sequence(*sequence, alpha);
  }
  for (ScheduledStep step = scheduler.schedule(); !step.runs.empty(); step = scheduler.schedule()) {
    run_step(step);
    if (options_.on_step && !options_.on_step(comparison.steps.back())) {
      comparison.complete = false;
      return;
    }
    scheduler.launched(step, 1);
  }
}

void LockStep::run_step(const ScheduledStep& step) {
  tested_.begin(step);
  reference_.begin(step);
  const BatchView& batch = reference_.step().batch;
  comparison_->steps.push_back({batch.num_tokens, batch.num_seqs, batch.num_decode_seqs});
  for (std::size_t i = 0; i < reference_.graph().nodes.size(); ++i) {
    if (options_.lock_step) copy_inputs(reference_.graph().nodes[i], step);
    reference_.run(reference_.graph().nodes[i]);
    tested_.run(tested_.graph().nodes[i]);
    compare_outputs(i, step);
  }
}

void LockStep::copy_inputs(const Node& node, const ScheduledStep& step) {
  for (const ValueId id : op_inputs(node.op)) tested_.write(id, reference_.read(id));
  if (const auto* attention = std::get_if<Attention>(&node.op)) copy_past(*attention, step);
}

void LockStep::copy_past(const Attention& op, const ScheduledStep& step) {
  const int block_size = reference_.step().kv_cache.block_size;
  for (const ScheduledRun& run : step.runs) {
    const int past =
        run.decode ? run.sequence->prompt_len() + run.sequence->launched - run.q_len : run.begin;
    for (int slot = 0; slot < past; slot += block_size) {
      const std::int32_t block = run.sequence->blocks[static_cast<std::size_t>(slot / block_size)];
      tested_.copy_block(reference_, op.layer, block);
    }
  }
}

void LockStep::compare_outputs(std::size_t node_index, const ScheduledStep& step) {
  const Node& node = reference_.graph().nodes[node_index];
  if (std::holds_alternative<Sample>(node.op)) return compare_tokens(node, step);
  const auto* attention = std::get_if<Attention>(&node.op);
  const DType activation = tested_.graph().activation_dtype;
  for (const ValueId id : op_outputs(node.op)) {
    if (reference_.num_rows(id) == 0) continue;
    const Value& value = tested_.graph().value(id);
    // The residual stream is a float32 sum of values compared before; all others are rounded.
    const auto* norm_linear = std::get_if<NormLinear>(&node.op);
    const bool exact = std::holds_alternative<Embed>(node.op) ||
                       (norm_linear != nullptr && norm_linear->residual_out == id);
    const double limit = exact                  ? nmse_limit(DType::float32)
                         : attention != nullptr ? attention_nmse_limit(activation)
                                                : nmse_limit(activation);
    ErrorBounds bounds;
    if (has_bounds() && !exact) bounds = bounds_.of(node, step);
    add(node, value.name, value.dtype, tested_.read(id), reference_.read(id), bounds, limit);
  }
  if (attention != nullptr) compare_appended(node, *attention, step);
}

void LockStep::compare_appended(const Node& node, const Attention& op, const ScheduledStep& step) {
  // What is stored with scales differs by steps of the numbers, which the bounds allow for.
  const KvFormat& format = tested_.step().kv_cache.format;
  const DType activation = tested_.graph().activation_dtype;
  const DType key_dtype = is_scaled(format.keys) ? DType::float32 : activation;
  const DType value_dtype = is_scaled(format.values) ? DType::float32 : activation;
  const auto tested = read_sequences(tested_, step, op.layer);
  const auto reference = read_sequences(reference_, step, op.layer);
  const HostRows keys = new_rows(reference, &BoundedSequence::keys);
  ErrorBounds bounds;
  if (has_bounds()) bounds = bounds_.of_appended_keys(op, step, keys);
  add(node, node.name + ".keys", key_dtype, new_rows(tested, &BoundedSequence::keys), keys, bounds,
      nmse_limit(key_dtype));
  add(node, node.name + ".values", value_dtype, new_rows(tested, &BoundedSequence::values),
      new_rows(reference, &BoundedSequence::values), {}, nmse_limit(value_dtype));
}

void LockStep::compare_tokens(const Node& node, const ScheduledStep& step) {
  HostRows tested{{}, 1};
  HostRows reference{{}, 1};
  for (const ScheduledRun& run : step.runs) {
    if (!run.samples) continue;
    const int row = run.sequence->state_row;
    const std::int32_t token = reference_.read_token(row);
    tested.values.push_back(static_cast<float>(tested_.read_token(row)));
    reference.values.push_back(static_cast<float>(token));
    tested_.write_token(row, token);  // both continue with the same text
  }
  if (!reference.values.empty()) {
    add(node, node.name, DType::float32, tested, reference, {}, 0.0);
  }
}

void LockStep::add(const Node& node, const std::string& value, DType dtype, const HostRows& tested,
                   const HostRows& reference, const ErrorBounds& bounds, double max_nmse) {
  ComparedRows rows{tested.values, reference.values, reference.cols, dtype, {}, {}};
  std::optional<double> limit = options_.max_nmse;
  std::vector<float> exact;
  if (has_bounds()) {
    if (bounds.elements.empty()) exact.resize(reference.values.size());
    rows.bounds = bounds.elements.empty() ? exact : bounds.elements;
    rows.nmse_slack = bounds.nmse_slack;
    if (!limit) limit = max_nmse;
  }
  ValueComparison result = compared_value(value, rows, limit);
  result.step = static_cast<int>(std::ssize(comparison_->steps)) - 1;
  result.node = node.name;
  result.op = op_name(node.op);
  result.num_loose_bounds = bounds.num_loose;
  const auto num_elements = static_cast<double>(result.rows * result.cols);
  if (static_cast<double>(bounds.num_loose) > kMaxLooseShare * num_elements) {
    result.over_bound = true;
  }
  comparison_->values.push_back(std::move(result));
}

}  // namespace quern
