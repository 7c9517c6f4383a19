#include "runtime/request/eos_token_ids.h"

#include <map>
#include <string_view>

namespace quern {

std::vector<std::pair<std::int32_t, std::string>> collect_eos_token_ids(
    const ModelConfig& config, const GenerationConfig& generation, const Tokenizer& tokenizer) {
  std::map<std::int32_t, std::string> sources;
  const auto add = [&](std::int32_t id, std::string_view source) {
    std::string& names = sources[id];
    if (names.find(source) != std::string::npos) return;
    names += names.empty() ? "" : ", ";
    names += source;
  };
  for (const std::int32_t id : config.eos_token_ids) add(id, "config.json");
  for (const std::int32_t id : generation.eos_token_ids) add(id, "generation_config.json");
  for (const std::int32_t id : tokenizer.eos_ids()) add(id, "tokenizer");
  if (generation.chat_format == "chatml") {
    for (const char* token : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
      if (const auto id = tokenizer.token_to_id(token)) add(*id, "chat format chatml");
    }
  }
  return {sources.begin(), sources.end()};
}

}  // namespace quern
