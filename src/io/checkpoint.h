#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "io/tensor_file.h"

namespace quern {

/// The weights of a model folder. In this order, as Hugging Face looks for them:
/// `model.safetensors`, the shards that `model.safetensors.index.json` names, `pytorch_model.bin`,
/// the shards that `pytorch_model.bin.index.json` names.
class Checkpoint {
 public:
  using Tensors = std::map<std::string, CheckpointTensor, std::less<>>;

  /// Of an index only the names of the shards count: the tensors are those that the shards have,
  /// as in Hugging Face. What contradicts it is logged: tensors that no shard has, and tensors
  /// that are in two shards, of which the last one counts.
  /// Errors name the file: a missing or empty folder, only GGUF present, LFS pointers, shard paths
  /// that leave the folder, shards that are not there; those of the files.
  static Checkpoint open(const std::filesystem::path& folder);

  /// The tensor of that name, or null.
  const CheckpointTensor* find(std::string_view name) const;
  /// All tensors by name.
  const Tensors& tensors() const { return tensors_; }
  const std::filesystem::path& folder() const { return folder_; }
  /// Total bytes of all tensors.
  std::uint64_t total_bytes() const;

 private:
  void add_shards(const std::filesystem::path& index);

  std::filesystem::path folder_;
  Tensors tensors_;
};

}  // namespace quern
