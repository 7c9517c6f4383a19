#pragma once

#include <filesystem>
#include <string>

namespace quern {

/// Finds the folder that `model` names: a folder; the folder of a Hugging Face cache entry
/// (`models--org--name`, its refs/main snapshot); or `org/name` when the local cache has it
/// (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). Never the network. Errors: not_found that
/// lists where it looked; a GGUF or other file in place of a folder is named as such.
std::filesystem::path find_model_folder(const std::string& model);

}  // namespace quern
