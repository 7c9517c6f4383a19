#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "io/tensor_file.h"

namespace quern {

/// The tensors of a state dict that torch.save wrote (pytorch_model.bin), by name: a zip archive,
/// or the format before PyTorch 1.6. Values that are no tensors are left out. Nothing in the file
/// is executed, see PickleReader, and no data is read. Cost: memory below 200 MB for any file.
/// Errors: not_found; bad_file for a broken archive or pickle and for tensors that do not lie
/// within the file; unsupported for compressed archives, big-endian files, TorchScript, tar files
/// and all that PickleReader refuses.
std::map<std::string, CheckpointTensor, std::less<>> read_torch_file(
    const std::filesystem::path& path);

}  // namespace quern
