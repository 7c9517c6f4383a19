#include "io/checkpoint.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/json/json.h"
#include "io/open_file.h"
#include "io/torch/torch_file.h"
#include "quern/safetensors.h"

namespace quern {
namespace fs = std::filesystem;
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kTorchFile = "pytorch_model.bin";
constexpr const char* kTorchIndexFile = "pytorch_model.bin.index.json";

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
    return name.ends_with(".gguf") || name.ends_with(".h5") || name.ends_with(".msgpack");
  });
  if (!foreign.empty()) {
    fail(ErrorCode::unsupported,
         "{}: expected {} or {}, got only {}, a format that is not supported", folder.string(),
         kSingleFile, kTorchFile, quoted_name(foreign));
  }
  const std::string other = find([](const std::string& name) {
    return name.ends_with(".safetensors") || name.ends_with(".bin");
  });
  fail(ErrorCode::not_found, "{}: expected {}, {}, {} or {}, got {}", folder.string(), kSingleFile,
       kIndexFile, kTorchFile, kTorchIndexFile,
       other.empty() ? "no weights" : "only " + quoted_name(other));
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

using ShardNames = std::map<std::string, std::string, std::less<>>;

/// Tensor name to shard name, as the index gives them.
ShardNames read_index(const fs::path& path) {
  const Json json = read_json(path);
  const JsonObject index(json, path.string());
  const auto weight_map = index.object("weight_map");
  if (!weight_map) index.reject("weight_map", "an object of tensor and file names");
  ShardNames shards;
  for (const auto& item : weight_map->json().items()) {
    std::string shard = weight_map->required_string(item.key());
    check_shard_name(path.string(), shard);
    shards.emplace(item.key(), std::move(shard));
  }
  if (shards.empty()) index.reject("weight_map", "at least one tensor");
  return shards;
}

/// The tensors of one file, whose name's ending tells the format.
Checkpoint::Tensors read_tensors(const fs::path& path) {
  if (path.extension() != ".safetensors") return read_torch_file(path);
  const SafetensorsFile file = SafetensorsFile::open(path);
  Checkpoint::Tensors tensors;
  for (const SafetensorsEntry& entry : file.entries()) {
    tensors.emplace(
        entry.name,
        CheckpointTensor{
            entry.stored_type, entry.shape, {}, file.file(), entry.offset, entry.size_bytes});
  }
  return tensors;
}

/// Logs how many tensors are so, and the first few names.
void warn_of(const fs::path& index, const char* what, const std::vector<std::string>& names) {
  constexpr std::size_t kMaxShown = 3;
  if (names.empty()) return;
  std::string shown;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxShown); ++i) {
    shown += (i == 0 ? "" : ", ") + quoted_name(names[i]);
  }
  log(LogLevel::warning, "{}: {} tensor{} {}: {}{}", index.string(), names.size(),
      names.size() == 1 ? "" : "s", what, shown, names.size() > kMaxShown ? ", …" : "");
}

std::vector<std::string> missing_tensors(const ShardNames& shard_of,
                                         const Checkpoint::Tensors& tensors) {
  std::vector<std::string> missing;
  for (const auto& [name, shard] : shard_of) {
    if (!tensors.contains(name)) missing.push_back(name);
  }
  return missing;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  check_folder(folder);
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  if (is_listed(folder / kSingleFile)) {
    checkpoint.tensors_ = read_tensors(folder / kSingleFile);
  } else if (is_listed(folder / kIndexFile)) {
    checkpoint.add_shards(folder / kIndexFile);
  } else if (is_listed(folder / kTorchFile)) {
    checkpoint.tensors_ = read_tensors(folder / kTorchFile);
  } else if (is_listed(folder / kTorchIndexFile)) {
    checkpoint.add_shards(folder / kTorchIndexFile);
  } else {
    fail_without_weights(folder);
  }
  return checkpoint;
}

void Checkpoint::add_shards(const fs::path& index) {
  const ShardNames shard_of = read_index(index);
  std::vector<std::string> repeated;
  std::set<std::string> shards;
  for (const auto& [name, shard] : shard_of) shards.insert(shard);
  for (const std::string& shard : shards) {
    if (!is_listed(folder_ / shard)) {
      fail(ErrorCode::not_found, "{}: no such file, but {} names it", (folder_ / shard).string(),
           index.string());
    }
    for (auto& [name, tensor] : read_tensors(folder_ / shard)) {
      if (!tensors_.insert_or_assign(name, std::move(tensor)).second) repeated.push_back(name);
    }
  }
  warn_of(index, "in more than one shard, of which the last one counts", repeated);
  warn_of(index, "named, but in no shard", missing_tensors(shard_of, tensors_));
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

std::uint64_t Checkpoint::total_bytes() const {
  std::uint64_t total = 0;
  for (const auto& [name, tensor] : tensors_) total += tensor.size_bytes;
  return total;
}

}  // namespace quern
