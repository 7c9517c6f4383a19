#include "io/checkpoint.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "io/json.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

/// True also for a dangling link: opening it then gives an error that names it.
bool is_listed(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

void check_folder(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) {
    fail(ErrorCode::not_found, "{}: no such folder", folder.string());
  }
  if (!fs::is_directory(folder, ignored)) {
    fail(ErrorCode::bad_file, "{}: expected a model folder, got a file", folder.string());
  }
}

std::vector<std::string> list_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) fail(ErrorCode::bad_file, "{}: cannot list: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

/// Describes what the folder contains in place of the expected weights.
[[noreturn]] void fail_without_weights(const fs::path& folder) {
  const std::vector<std::string> names = list_names(folder);
  if (names.empty()) fail(ErrorCode::not_found, "{}: the folder is empty", folder.string());
  const auto find = [&](auto matches) {
    const auto it = std::find_if(names.begin(), names.end(), matches);
    return it == names.end() ? std::string() : *it;
  };
  const std::string foreign = find([](const std::string& name) {
    return name.ends_with(".gguf") || name.starts_with("pytorch_model") || name.ends_with(".bin");
  });
  if (!foreign.empty()) {
    fail(ErrorCode::unsupported, "{}: expected {}, got only {}, a format that is not supported",
         folder.string(), kSingleFile, quoted_name(foreign));
  }
  const std::string other =
      find([](const std::string& name) { return name.ends_with(".safetensors"); });
  fail(ErrorCode::not_found, "{}: expected {} or {}, got {}", folder.string(), kSingleFile,
       kIndexFile, other.empty() ? "no weights" : "only " + quoted_name(other));
}

/// The name as written must stay inside the folder. Symbolic links are not resolved for this check:
/// snapshots in the Hugging Face cache are links that point out of their folder.
void check_shard_name(const std::string& index, const std::string& shard) {
  const fs::path path(shard);
  const bool climbs = std::find(path.begin(), path.end(), "..") != path.end();
  if (shard.empty() || path.is_absolute() || climbs || shard.find('\0') != std::string::npos) {
    fail(ErrorCode::bad_file, "{}: expected shards inside the folder, got {}", index,
         quoted_name(shard));
  }
}

/// The index's weight_map: tensor name to shard name.
std::map<std::string, std::string, std::less<>> read_index(const fs::path& path) {
  const Json json = read_json(path);
  const JsonObject index(json, path.string());
  const auto weight_map = index.object("weight_map");
  if (!weight_map) index.reject("weight_map", "an object of tensor and file names");
  std::map<std::string, std::string, std::less<>> shards;
  for (const auto& item : weight_map->json().items()) {
    std::string shard = weight_map->required_string(item.key());
    check_shard_name(path.string(), shard);
    shards.emplace(item.key(), std::move(shard));
  }
  if (shards.empty()) index.reject("weight_map", "at least one tensor");
  return shards;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  check_folder(folder);
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  if (is_listed(folder / kSingleFile)) {
    checkpoint.add_file(folder / kSingleFile);
  } else if (is_listed(folder / kIndexFile)) {
    checkpoint.add_shards(folder / kIndexFile);
  } else {
    fail_without_weights(folder);
  }
  return checkpoint;
}

void Checkpoint::add_file(const fs::path& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(SafetensorsFile::open(path)));
  const SafetensorsFile& file = *files_.back();
  for (const SafetensorsEntry& entry : file.entries()) {
    const auto [it, added] = tensors_.try_emplace(entry.name, TensorRef{&entry, &file});
    if (!added) {
      fail(ErrorCode::bad_file, "{}: tensor {} is also in {}", path.string(),
           quoted_name(entry.name), it->second.file->path().string());
    }
  }
}

void Checkpoint::add_shards(const fs::path& index) {
  const auto shard_of = read_index(index);
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    if (!is_listed(folder_ / shard)) {
      fail(ErrorCode::not_found, "{}: no such file, but {} names it", (folder_ / shard).string(),
           index.string());
    }
    add_file(folder_ / shard);
  }
  for (const auto& [name, shard] : shard_of) {
    const TensorRef tensor = find(name);
    if (tensor.file == nullptr || tensor.file->path() != folder_ / shard) {
      fail(ErrorCode::bad_file, "{}: expected tensor {} in {}, got it {}{}", index.string(),
           quoted_name(name), quoted_name(shard), tensor.file == nullptr ? "nowhere" : "in ",
           tensor.file == nullptr ? "" : tensor.file->path().string());
    }
  }
  for (const auto& [name, tensor] : tensors_) {
    if (!shard_of.contains(name)) {
      fail(ErrorCode::bad_file, "{}: tensor {} is not in {}", tensor.file->path().string(),
           quoted_name(name), index.string());
    }
  }
}

Checkpoint::TensorRef Checkpoint::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? TensorRef{} : it->second;
}

std::uint64_t Checkpoint::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += tensor.entry->data.size();
  return total;
}

void Checkpoint::release(const TensorRef& tensor) const { tensor.file->release(*tensor.entry); }

}  // namespace quern
