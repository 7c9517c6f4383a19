#include "base/check.h"
#include "base/memory/shape.h"
#include "quern/safetensors.h"

namespace quern {

void write_safetensors(const std::filesystem::path& path,
                       std::span<const SafetensorsTensor> tensors) {
  std::vector<SafetensorsSpec> specs;
  for (const SafetensorsTensor& tensor : tensors) {
    QUERN_CHECK(checked_numel(tensor.shape) == std::ssize(tensor.values), "tensor '{}': {} of {}",
                tensor.name, tensor.values.size(), shape_string(tensor.shape));
    specs.push_back({tensor.name, DType::float32, tensor.shape});
  }
  SafetensorsStream stream(path, specs);
  for (const SafetensorsTensor& tensor : tensors) stream.write(std::as_bytes(tensor.values));
  stream.finish();
}

}  // namespace quern
