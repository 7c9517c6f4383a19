#pragma once

#include <string_view>

#include "io/json/json.h"
#include "model/config/config.h"
#include "model/config/generation_config.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// What load_model_config makes of this config.json, changed by a JSON merge patch (RFC 7396: null
/// removes a key).
inline ModelConfig config_of(std::string_view text, std::string_view patch = "{}") {
  Json json = parse_json(text, "text");
  json.merge_patch(parse_json(patch, "patch"));
  const TempFolder folder;
  write_file(folder / "config.json", json.dump());
  return load_model_config(folder.path());
}

inline GenerationConfig generation_config_of(std::string_view text) {
  const TempFolder folder;
  write_file(folder / "generation_config.json", text);
  return load_generation_config(folder.path());
}

}  // namespace quern::testing
