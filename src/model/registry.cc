#include "model/registry.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/families/families.h"
#include "model/model.h"

namespace quern {
namespace {

constexpr std::array kFamilies = {
    ModelFamily{"gpt2",
                {"GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"},
                read_gpt2_config,
                build_gpt2},
    ModelFamily{"llama",
                {"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel"},
                read_llama_config,
                build_llama},
    ModelFamily{
        "mistral", {"MistralForCausalLM", "MistralModel"}, read_mistral_config, build_llama},
    ModelFamily{"qwen", {"QWenLMHeadModel", "QWenModel"}, read_qwen_config, build_qwen},
    ModelFamily{"qwen2", {"Qwen2ForCausalLM", "Qwen2Model"}, read_qwen2_config, build_llama},
    ModelFamily{"qwen3", {"Qwen3ForCausalLM", "Qwen3Model"}, read_qwen3_config, build_llama},
};

/// Ends of the names of architectures whose head is not over the vocabulary.
constexpr std::array<std::string_view, 5> kOtherHeads = {
    "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForRewardModel",
    "ForConditionalGeneration"};

const ModelFamily* find_by_type(std::string_view model_type) {
  const auto* it = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const ModelFamily& row) {
    return row.model_type == model_type;
  });
  return it == kFamilies.end() ? nullptr : it;
}

const ModelFamily& known_family(const ModelConfig& config) {
  const ModelFamily* family = find_by_type(config.model_type);
  if (family == nullptr) {
    fail(ErrorCode::unsupported, "model type {} is not supported, expected one of {}",
         quoted_name(config.model_type), fmt::join(known_model_types(), ", "));
  }
  return *family;
}

bool has_architecture(const ModelFamily& family, std::string_view architecture) {
  const auto& names = family.architectures;
  return std::find(names.begin(), names.end(), architecture) != names.end();
}

const ModelFamily* find_by_architecture(std::string_view architecture) {
  const auto* it = std::find_if(kFamilies.begin(), kFamilies.end(), [&](const ModelFamily& family) {
    return !architecture.empty() && has_architecture(family, architecture);
  });
  return it == kFamilies.end() ? nullptr : it;
}

/// Whether a model of that family may carry the name: one of its own, or one that no family has, as
/// folders with code of their own do, if its head may be a language model's.
bool may_be_named(const ModelFamily& family, std::string_view architecture) {
  if (architecture.empty() || has_architecture(family, architecture)) return true;
  const bool other_head =
      std::any_of(kOtherHeads.begin(), kOtherHeads.end(),
                  [&](std::string_view ending) { return architecture.ends_with(ending); });
  return !other_head && find_by_architecture(architecture) == nullptr;
}

std::string known_architectures() {
  std::vector<std::string_view> names;
  names.reserve(kFamilies.size());
  for (const ModelFamily& family : kFamilies) names.push_back(family.architectures[0]);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

const ModelFamily& find_family(const JsonObject& object) {
  const std::string architecture = read_architecture(object);
  const auto model_type = object.string("model_type");
  if (!model_type && architecture.empty()) object.reject("model_type", "a string");

  if (!model_type) {
    const ModelFamily* family = find_by_architecture(architecture);
    if (family != nullptr) return *family;
    fail(ErrorCode::unsupported, "{}: key 'architectures': {} is not supported, expected one of {}",
         object.file(), quoted_name(architecture), known_architectures());
  }
  const ModelFamily* family = find_by_type(*model_type);
  if (family == nullptr) {
    fail(ErrorCode::unsupported, "{}: key 'model_type': {}{} is not supported, expected one of {}",
         object.file(), quoted_name(*model_type),
         architecture.empty() ? "" : fmt::format(" ({})", architecture),
         fmt::join(known_model_types(), ", "));
  }
  if (!may_be_named(*family, architecture)) {
    fail(ErrorCode::unsupported, "{}: key 'architectures': {} is not supported, expected {} for {}",
         object.file(), quoted_name(architecture), family->architectures[0], *model_type);
  }
  return *family;
}

std::string read_architecture(const JsonObject& object) {
  const Json* list = object.find("architectures");
  if (list == nullptr || (list->is_array() && list->empty())) return {};
  if (!list->is_array() || !list->front().is_string() || list->front() == "") {
    object.reject("architectures", "a list of names");
  }
  return list->front().get<std::string>();
}

Graph build_graph(const ModelConfig& config, const Checkpoint& checkpoint, DType dtype) {
  return known_family(config).build(config, &checkpoint, dtype);
}

Graph build_graph(const ModelConfig& config, DType dtype) {
  return known_family(config).build(config, nullptr, dtype);
}

std::vector<std::string_view> known_model_types() {
  std::vector<std::string_view> types;
  types.reserve(kFamilies.size());
  for (const ModelFamily& family : kFamilies) types.push_back(family.model_type);
  return types;
}

}  // namespace quern
