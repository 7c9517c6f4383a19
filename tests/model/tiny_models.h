#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "io/checkpoint.h"
#include "io/json/json.h"
#include "model/config/config.h"
#include "model/model.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// A model folder small enough to write out: config and zero tensors, to be changed before use.
/// All have two layers, hidden_size 8, two heads of 4, intermediate_size 6, vocab_size 10.
struct TinyModel {
  Json config;
  std::vector<RawTensor> tensors;

  void add(const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t numel = 1;
    for (const std::int64_t size : shape) numel *= size;
    tensors.push_back({name, "F16", std::move(shape), std::string(2 * numel, '\0')});
  }

  std::size_t index_of(std::string_view name) const {
    const auto it = std::find_if(tensors.begin(), tensors.end(),
                                 [&](const RawTensor& tensor) { return tensor.name == name; });
    if (it == tensors.end()) throw std::runtime_error("no tensor " + std::string(name));
    return static_cast<std::size_t>(it - tensors.begin());
  }

  void remove(std::string_view name) {
    tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(index_of(name)));
  }

  /// Replaces a tensor by one of another shape.
  void reshape(const std::string& name, std::vector<std::int64_t> shape) {
    remove(name);
    add(name, std::move(shape));
  }

  /// Writes the folder, reads it back and builds the graph.
  Graph build(DType dtype = DType::float32) const {
    const TempFolder folder;
    write_file(folder / "config.json", config.dump());
    write_file(folder / "model.safetensors", make_safetensors(tensors));
    const ModelConfig loaded = load_model_config(folder.path());
    return build_graph(loaded, Checkpoint::open(folder.path()), dtype);
  }
};

inline TinyModel tiny_gpt2(const std::string& prefix = "") {
  TinyModel model;
  model.config = {{"model_type", "gpt2"}, {"n_embd", 8},
                  {"n_layer", 2},         {"n_head", 2},
                  {"n_inner", 6},         {"n_positions", 16},
                  {"vocab_size", 10},     {"layer_norm_epsilon", 1e-5}};
  model.add(prefix + "wte.weight", {10, 8});
  model.add(prefix + "wpe.weight", {16, 8});
  for (const std::string layer : {"h.0.", "h.1."}) {
    const auto conv = [&](const std::string& name, std::int64_t in, std::int64_t out) {
      model.add(prefix + layer + name + ".weight", {in, out});
      model.add(prefix + layer + name + ".bias", {out});
    };
    for (const std::string norm : {"ln_1", "ln_2"}) {
      model.add(prefix + layer + norm + ".weight", {8});
      model.add(prefix + layer + norm + ".bias", {8});
    }
    conv("attn.c_attn", 8, 24);
    conv("attn.c_proj", 8, 8);
    conv("mlp.c_fc", 8, 6);
    conv("mlp.c_proj", 6, 8);
  }
  model.add(prefix + "ln_f.weight", {8});
  model.add(prefix + "ln_f.bias", {8});
  return model;
}

/// LLaMA with one KV head.
inline TinyModel tiny_llama() {
  TinyModel model;
  model.config = {
      {"model_type", "llama"},         {"hidden_size", 8},         {"num_hidden_layers", 2},
      {"num_attention_heads", 2},      {"num_key_value_heads", 1}, {"intermediate_size", 6},
      {"max_position_embeddings", 16}, {"vocab_size", 10},         {"rms_norm_eps", 1e-6}};
  model.add("model.embed_tokens.weight", {10, 8});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    model.add(layer + "self_attn.q_proj.weight", {8, 8});
    model.add(layer + "self_attn.k_proj.weight", {4, 8});
    model.add(layer + "self_attn.v_proj.weight", {4, 8});
    model.add(layer + "self_attn.o_proj.weight", {8, 8});
    model.add(layer + "mlp.gate_proj.weight", {6, 8});
    model.add(layer + "mlp.up_proj.weight", {6, 8});
    model.add(layer + "mlp.down_proj.weight", {8, 6});
    model.add(layer + "input_layernorm.weight", {8});
    model.add(layer + "post_attention_layernorm.weight", {8});
  }
  model.add("model.norm.weight", {8});
  model.add("lm_head.weight", {10, 8});
  return model;
}

inline TinyModel tiny_qwen() {
  TinyModel model;
  model.config = {{"model_type", "qwen"},     {"hidden_size", 8},
                  {"num_hidden_layers", 2},   {"num_attention_heads", 2},
                  {"kv_channels", 4},         {"intermediate_size", 12},
                  {"seq_length", 16},         {"max_position_embeddings", 64},
                  {"vocab_size", 10},         {"layer_norm_epsilon", 1e-6},
                  {"rotary_emb_base", 10000}, {"use_dynamic_ntk", true},
                  {"use_logn_attn", true}};
  model.add("transformer.wte.weight", {10, 8});
  for (const std::string layer : {"transformer.h.0.", "transformer.h.1."}) {
    model.add(layer + "attn.c_attn.weight", {24, 8});
    model.add(layer + "attn.c_attn.bias", {24});
    model.add(layer + "attn.c_proj.weight", {8, 8});
    model.add(layer + "mlp.w1.weight", {6, 8});
    model.add(layer + "mlp.w2.weight", {6, 8});
    model.add(layer + "mlp.c_proj.weight", {8, 6});
    model.add(layer + "ln_1.weight", {8});
    model.add(layer + "ln_2.weight", {8});
  }
  model.add("transformer.ln_f.weight", {8});
  model.add("lm_head.weight", {10, 8});
  return model;
}

}  // namespace quern::testing
