#include "runtime/load/opened_model.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/log.h"
#include "io/open_file.h"
#include "model/model.h"
#include "model/shapes.h"
#include "quern/files.h"
#include "quern/safetensors.h"
#include "runtime/load/timed_phase.h"
#include "runtime/load/weight_placement.h"
#include "runtime/request/eos_token_ids.h"
#include "tokenizer/folder/no_tokenizer.h"

namespace quern {
namespace {

/// Appends what makes a step closed: sampling of the next tokens and the state update.
void close_step(Graph& graph) {
  const ValueId logits = op_outputs(graph.nodes.back().op).front();
  graph.nodes.push_back({Sample{logits}, "sample"});
  graph.nodes.push_back({Advance{}, "advance"});
}

/// The dtype of the largest tensor of floats: torch_dtype of a config may be wrong.
DType largest_tensor_dtype(const Checkpoint& checkpoint) {
  std::uint64_t largest_bytes = 0;
  std::optional<DType> dtype;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    const auto own =
        tensor.stored_type == "F64" ? DType::float32 : parse_safetensors_dtype(tensor.stored_type);
    const bool is_float = own == DType::float32 || own == DType::float16 || own == DType::bfloat16;
    if (!is_float || tensor.size_bytes <= largest_bytes) continue;
    largest_bytes = tensor.size_bytes;
    dtype = own;
  }
  return dtype.value_or(DType::float32);
}

DType activation_dtype(DType stored, const EngineOptions& resolved) {
  if (resolved.dtype) return *resolved.dtype;
  if (resolved.device == DeviceChoice::cpu) return DType::float32;
  return stored == DType::bfloat16 ? DType::bfloat16 : DType::float16;
}

/// The folder's tokenizer, or none where it has no file of any.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder) {
  constexpr std::array kFiles = {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt",
                                 "qwen.tiktoken"};
  const bool has_any = std::any_of(kFiles.begin(), kFiles.end(),
                                   [&](const char* name) { return is_listed(folder / name); });
  if (has_any) return Tokenizer::load(folder);
  log(LogLevel::warning, "{}: no tokenizer files: prompts are token ids, and there is no text",
      folder.string());
  return make_no_tokenizer();
}

OpenedModel open_folder(const std::string& model, const EngineOptions& resolved) {
  OpenedModel opened;
  opened.folder = find_model_folder(model);
  opened.name = opened.folder.string();
  opened.config = load_model_config(opened.folder);
  opened.generation = load_generation_config(opened.folder);
  opened.checkpoint = Checkpoint::open(opened.folder);
  const DType dtype = activation_dtype(largest_tensor_dtype(opened.checkpoint), resolved);
  opened.graph = build_graph(opened.config, opened.checkpoint, dtype);
  opened.tokenizer = open_tokenizer(opened.folder);
  opened.eos_token_ids = collect_eos_token_ids(opened.config, opened.generation, *opened.tokenizer);
  if (opened.tokenizer->vocab_size() > opened.config.vocab_size) {
    log(LogLevel::warning, "{}: the tokenizer names {} ids, config.json's vocab_size is {}",
        opened.name, opened.tokenizer->vocab_size(), opened.config.vocab_size);
  }
  return opened;
}

OpenedModel open_random(const RandomModel& model, const EngineOptions& resolved) {
  OpenedModel opened;
  opened.name = model.shape;
  opened.config = shape_config(model.shape);
  opened.random = {model.weights_seed, opened.config.num_hidden_layers, model.outliers};
  if (model.num_layers) keep_layers(opened.config, *model.num_layers);
  const DType stored = opened.config.dtype.value_or(DType::float32);
  opened.graph = build_graph(opened.config, activation_dtype(stored, resolved));
  opened.tokenizer = make_no_tokenizer();
  return opened;
}

}  // namespace

OpenedModel open_model(const ModelSource& model, const EngineOptions& resolved) {
  const TimedPhase phase("opening the model");
  const auto* random = std::get_if<RandomModel>(&model);
  OpenedModel opened = random != nullptr ? open_random(*random, resolved)
                                         : open_folder(std::get<std::string>(model), resolved);
  if (resolved.quantize && opened.config.quantization && !opened.random) {
    fail(ErrorCode::invalid_argument, "quantize {}: {} is quantized already ({})",
         dtype_name(*resolved.quantize), opened.name, opened.config.quantization->method());
  }
  opened.quantize = resolved.quantize;
  opened.quantize_activations = resolved.quantize_activations;
  const std::vector<WeightFormat> formats = stored_formats(opened);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    opened.graph.weights[i].format = formats[i];
  }
  close_step(opened.graph);
  validate(opened.graph);
  return opened;
}

void warn_of_random_weights(const OpenedModel& model) {
  if (!model.random) return;
  log(LogLevel::warning, "shape {}: random weights, what they say means nothing", model.name);
}

ModelInfo model_info(const OpenedModel& model) {
  const ModelConfig& config = model.config;
  ModelInfo info;
  info.name = model.name;
  info.random_weights = model.random.has_value();
  info.folder = model.folder;
  info.model_type = config.model_type;
  info.vocab_size = config.vocab_size;
  info.hidden_size = config.hidden_size;
  info.intermediate_size = config.intermediate_size;
  info.num_hidden_layers = config.num_hidden_layers;
  info.num_attention_heads = config.num_attention_heads;
  info.num_key_value_heads = config.num_key_value_heads;
  info.head_dim = config.head_dim;
  info.max_position_embeddings = config.max_position_embeddings;
  for (const WeightSpec& weight : model.graph.weights) {
    info.num_parameters += static_cast<std::uint64_t>(weight.out_features * weight.in_features);
  }
  info.checkpoint_dtype = config.dtype;
  info.eos_token_ids = model.eos_token_ids;
  info.chat_format = model.generation.chat_format;
  info.max_window_size = model.generation.max_window_size;
  return info;
}

}  // namespace quern
