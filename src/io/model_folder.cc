#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/json/json.h"
#include "quern/files.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::optional<fs::path> environment_path(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

/// The download cache of huggingface_hub, by the environment variables that it reads; nothing when
/// none is set. Source: huggingface_hub/constants.py.
std::optional<fs::path> hub_cache() {
  if (auto cache = environment_path("HF_HUB_CACHE")) return cache;
  if (const auto home = environment_path("HF_HOME")) return *home / "hub";
  if (const auto cache = environment_path("XDG_CACHE_HOME")) return *cache / "huggingface" / "hub";
  if (const auto home = environment_path("HOME")) return *home / ".cache" / "huggingface" / "hub";
  return std::nullopt;
}

/// The folder of "org/name" or "name" inside the cache, or nothing when `model` is not such a name.
std::optional<std::string> cache_entry_name(std::string_view model) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  std::string entry = "models";
  for (std::size_t begin = 0, parts = 0; begin <= model.size(); ++parts) {
    const std::size_t end = std::min(model.find('/', begin), model.size());
    const std::string_view part = model.substr(begin, end - begin);
    if (parts == 2 || part.empty() || part == "." || part == ".." ||
        part.find_first_not_of(kAllowed) != std::string_view::npos) {
      return std::nullopt;
    }
    entry.append("--").append(part);
    begin = end + 1;
  }
  return entry;
}

/// The snapshot that refs/main of a cache entry points to.
fs::path main_snapshot(const fs::path& entry) {
  constexpr std::size_t kMaxRefBytes = 4096;
  const fs::path ref = entry / "refs" / "main";
  std::string revision = read_text_file(ref, kMaxRefBytes);
  while (!revision.empty() && (revision.back() == '\n' || revision.back() == '\r')) {
    revision.pop_back();
  }
  if (revision.empty() || revision == "." || revision == ".." ||
      revision.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    fail(ErrorCode::bad_file, "{}: expected the name of a snapshot, got {}", ref.string(),
         quoted_name(revision));
  }
  fs::path snapshot = entry / "snapshots" / revision;
  if (!is_folder(snapshot)) {
    fail(ErrorCode::not_found, "{}: no such folder, but {} names it", snapshot.string(),
         ref.string());
  }
  return snapshot;
}

[[noreturn]] void fail_not_a_folder(const fs::path& path) {
  if (path.extension() == ".gguf") {
    fail(ErrorCode::unsupported,
         "{}: expected a model folder, got a GGUF file, which is not supported", path.string());
  }
  fail(ErrorCode::bad_file, "{}: expected a model folder, got a file", path.string());
}

}  // namespace

fs::path find_model_folder(const std::string& model) {
  if (model.empty()) fail(ErrorCode::invalid_argument, "the model's name is empty");
  const fs::path path(model);
  if (is_folder(path)) return is_folder(path / "snapshots") ? main_snapshot(path) : path;
  std::error_code ignored;
  if (fs::exists(path, ignored)) fail_not_a_folder(path);

  const auto entry_name = cache_entry_name(model);
  if (!entry_name) {
    fail(ErrorCode::not_found, "{}: no such folder; to get a model: hf download ORG/NAME", model);
  }
  const auto cache = hub_cache();
  if (!cache) {
    fail(ErrorCode::not_found,
         "{}: no such folder, and no Hugging Face cache to look in; to get it: hf download {} "
         "--local-dir FOLDER",
         model, model);
  }
  const fs::path entry = *cache / *entry_name;
  if (!is_folder(entry)) {
    fail(ErrorCode::not_found, "{}: no such folder, nor is there {}; to get it: hf download {}",
         model, entry.string(), model);
  }
  return main_snapshot(entry);
}

}  // namespace quern
