#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "quern/quern.h"

namespace quern::testing {

struct Free {
  void operator()(quern_engine* engine) const { quern_engine_free(engine); }
  void operator()(quern_result* result) const { quern_result_free(result); }
  void operator()(quern_tokenizer* tokenizer) const { quern_tokenizer_free(tokenizer); }
  void operator()(quern_chat_template* chat) const { quern_chat_template_free(chat); }
  void operator()(quern_rendered_chat* chat) const { quern_rendered_chat_free(chat); }
  void operator()(quern_answer_parser* parser) const { quern_answer_parser_free(parser); }
  void operator()(quern_model_info* info) const { quern_model_info_free(info); }
  void operator()(void* memory) const { quern_free(memory); }
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

inline std::string demo_model(const std::string& name) {
  return std::string(QUERN_SOURCE_DIR) + "/examples/models/" + name;
}

inline std::string string_of(quern_string text) { return {text.data, text.size}; }
inline quern_string c_string(std::string_view text) { return {text.data(), text.size()}; }
inline std::vector<std::int32_t> vector_of(quern_token_ids ids) {
  return {ids.ids, ids.ids + ids.count};
}

inline quern_engine_options cpu_options() {
  quern_engine_options options{};
  options.struct_size = sizeof(options);
  options.device = QUERN_DEVICE_CPU;
  options.threads = 1;
  options.max_seq_len = 256;
  return options;
}

inline Handle<quern_engine> load(const std::string& name,
                                 const quern_engine_options& options = cpu_options()) {
  quern_engine* engine = nullptr;
  EXPECT_EQ(quern_engine_load(demo_model(name).c_str(), &options, &engine), QUERN_OK)
      << quern_last_error();
  return Handle<quern_engine>(engine);
}

/// A greedy request with its own storage.
struct GreedyRequest {
  explicit GreedyRequest(std::string_view prompt, int max_new_tokens = 16) {
    sampling.struct_size = sizeof(sampling);
    sampling.greedy = 1;
    request.struct_size = sizeof(request);
    request.prompt = c_string(prompt);
    request.sampling = &sampling;
    request.max_new_tokens = max_new_tokens;
  }
  GreedyRequest(const GreedyRequest&) = delete;
  GreedyRequest& operator=(const GreedyRequest&) = delete;

  quern_sampling_params sampling{};
  quern_request request{};
};

/// A prompt of Hugging Face's greedy answers to tale-llama.
inline nlohmann::json golden_case(int index = 0) {
  std::ifstream stream(std::string(QUERN_SOURCE_DIR) + "/tests/golden/llama.golden.json");
  return nlohmann::json::parse(stream).at("cases").at(index);
}

}  // namespace quern::testing
