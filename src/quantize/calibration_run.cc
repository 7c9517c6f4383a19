#include "quantize/calibration_run.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <variant>

#include "backend/cpu/ops/norm.h"
#include "backend/executor.h"
#include "base/check.h"
#include "base/half.h"
#include "base/memory/shape.h"
#include "runtime/load/backend_choice.h"
#include "runtime/request/request_check.h"
#include "weights/weight.h"

namespace quern {

CalibrationRun::CalibrationRun(const OpenedModel& model,
                               std::span<const std::vector<std::int32_t>> texts,
                               const EngineOptions& resolved)
    : model_(model),
      backend_(make_backend(resolved)),
      plan_(plan_engine(model, *backend_, resolved)),
      runner_(model, plan_, *backend_),
      last_reader_(model.graph.values.size()) {
  QUERN_CHECK(model.graph.activation_dtype == DType::float32);
  for (auto& values : values_) {
    values.assign(model.graph.values.size(), std::vector<Floats>(texts.size()));
  }
  for (const std::vector<std::int32_t>& ids : texts) {
    Request request;
    request.prompt_ids = ids;
    request.sampling.greedy = true;
    auto text = make_sequence(static_cast<RequestId>(texts_.size()) + 1, request, model,
                              plan_.limits.max_seq_len);
    // One text at a time, each from the first block on.
    text->state_row = 0;
    text->blocks.resize(ceil_div(ids.size(), static_cast<std::size_t>(plan_.limits.block_size)));
    std::iota(text->blocks.begin(), text->blocks.end(), 0);
    texts_.push_back(std::move(text));
  }
  for (std::size_t i = 0; i < model.graph.nodes.size(); ++i) {
    for (const ValueId id : op_inputs(model.graph.nodes[i].op)) {
      last_reader_[static_cast<std::size_t>(id)] = i;
    }
  }
}

void CalibrationRun::begin(const Sequence& text) {
  StepArrays& arrays = runner_.arrays();
  arrays.write_sequence(text, initial_rope_alpha(model_, text));
  ScheduledStep step;
  step.runs.push_back({const_cast<Sequence*>(&text), 0, text.prompt_len(), false, false});
  runner_.step().batch = arrays.write_batch(step);
}

CalibrationRun::Floats& CalibrationRun::value(ValueId id, Stream stream, std::size_t text) {
  return values_[static_cast<std::size_t>(stream)][static_cast<std::size_t>(id)][text];
}

void CalibrationRun::write_value(ValueId id, std::span<const float> rows) {
  const Tensor& tensor = runner_.step().value(id);
  QUERN_CHECK(std::ssize(rows) <= tensor.rows * tensor.cols && tensor.row_stride == tensor.cols);
  backend_->copy_in(tensor.data, rows.data(), rows.size_bytes());
}

CalibrationRun::Floats CalibrationRun::read_value(ValueId id, std::int64_t num_rows) {
  const Tensor& tensor = runner_.step().value(id);
  QUERN_CHECK(num_rows <= tensor.rows && tensor.row_stride == tensor.cols);
  Floats rows(static_cast<std::size_t>(num_rows * tensor.cols));
  backend_->copy_out(rows.data(), tensor.data, std::span(rows).size_bytes());
  return rows;
}

void CalibrationRun::read_inputs(const Node& node, const InputRows& sink) {
  for (std::size_t text = 0; text < texts_.size(); ++text) {
    if (const auto* linear = std::get_if<Linear>(&node.op)) {
      sink(value(linear->in, Stream::quantized, text), value(linear->in, Stream::original, text));
    } else {
      const auto& op = std::get<NormLinear>(node.op);
      sink(normed_rows(op, Stream::quantized, text), normed_rows(op, Stream::original, text));
    }
  }
}

CalibrationRun::Floats CalibrationRun::normed_rows(const NormLinear& op, Stream stream,
                                                   std::size_t text) {
  Floats rows = value(op.residual, stream, text);
  if (op.delta) {
    const Floats& delta = value(*op.delta, stream, text);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] += delta[i];
  }
  const std::vector<float> gain = read_weight(op.gain);
  const std::vector<float> bias = op.norm_bias ? read_weight(*op.norm_bias) : std::vector<float>();
  for (std::size_t first = 0; first < rows.size(); first += gain.size()) {
    const auto row = std::span(rows).subspan(first, gain.size());
    if (op.norm == NormKind::rms) {
      cpu::rms_norm(row, gain.data(), op.epsilon);
    } else {
      cpu::layer_norm(row, gain.data(), bias.empty() ? nullptr : bias.data(), op.epsilon);
    }
  }
  return rows;
}

void CalibrationRun::run(const Node& node, Stream stream) {
  const std::vector<ValueId> outputs = op_outputs(node.op);
  for (std::size_t text = 0; text < texts_.size(); ++text) {
    begin(*texts_[text]);
    for (const ValueId id : op_inputs(node.op)) write_value(id, value(id, stream, text));
    if (graph().value(outputs.front()).rows == Rows::logit_rows) {
      run_logit_rows(node, stream, text);
      continue;
    }
    execute(*backend_, {&node, 1}, runner_.step());
    for (const ValueId id : outputs) {
      value(id, stream, text) = read_value(id, texts_[text]->prompt_len());
    }
  }
  drop_values(node, stream);
}

/// The nodes after the last attention compute a few rows at a time.
void CalibrationRun::run_logit_rows(const Node& node, Stream stream, std::size_t text) {
  QUERN_CHECK(std::holds_alternative<NormLinear>(node.op), "{}", node.name);
  const int num_rows = texts_[text]->prompt_len();
  const ValueId out = std::get<NormLinear>(node.op).out;
  Floats& all = value(out, stream, text);
  for (int done = 0; done < num_rows; done += plan_.limits.max_logit_rows) {
    const int count = std::min(plan_.limits.max_logit_rows, num_rows - done);
    runner_.arrays().write_logit_rows(runner_.step().batch, done, count);
    execute(*backend_, {&node, 1}, runner_.step());
    const Floats rows = read_value(out, count);
    all.insert(all.end(), rows.begin(), rows.end());
  }
}

void CalibrationRun::drop_values(const Node& node, Stream stream) {
  const auto index = static_cast<std::size_t>(&node - graph().nodes.data());
  QUERN_CHECK(index < graph().nodes.size(), "{}", node.name);
  auto& values = values_[static_cast<std::size_t>(stream)];
  for (std::size_t id = 0; id < values.size(); ++id) {
    if (last_reader_[id] > index) continue;
    for (Floats& rows : values[id]) Floats().swap(rows);
  }
}

std::vector<float> CalibrationRun::read_weight(WeightId id) {
  const Weight& weight = runner_.step().weight(id);
  std::vector<float> values(static_cast<std::size_t>(weight.out_features * weight.in_features));
  for (std::int64_t row = 0; row < weight.out_features; ++row) {
    dequantize_row(weight, row,
                   std::span(values).subspan(static_cast<std::size_t>(row * weight.in_features),
                                             static_cast<std::size_t>(weight.in_features)));
  }
  return values;
}

void CalibrationRun::write_weight(WeightId id, std::span<const float> values) {
  const Weight& weight = runner_.step().weight(id);
  QUERN_CHECK(!weight.format.is_quantized() && weight.layout == WeightLayout::row_major &&
              std::ssize(values) == weight.out_features * weight.in_features);
  std::vector<std::byte> row(static_cast<std::size_t>(weight.in_features) *
                             dtype_bytes(weight.values.dtype));
  for (std::int64_t i = 0; i < weight.out_features; ++i) {
    store_floats(weight.values.dtype,
                 values.subspan(static_cast<std::size_t>(i * weight.in_features),
                                static_cast<std::size_t>(weight.in_features)),
                 row.data());
    backend_->copy_in(weight.values.row<std::byte>(0) + static_cast<std::size_t>(i) * row.size(),
                      row.data(), row.size());
  }
}

}  // namespace quern
