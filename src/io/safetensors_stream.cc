#include <vector>

#include "base/check.h"
#include "io/output/safetensors_header.h"
#include "quern/safetensors.h"

namespace quern {
namespace {

const char* stored_name(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "F32";
    case DType::float16:
      return "F16";
    case DType::bfloat16:
      return "BF16";
    case DType::int32:
      return "I32";
    case DType::int64:
      return "I64";
    case DType::uint8:
      return "U8";
    case DType::float8_e4m3:
      return "F8_E4M3";
    case DType::uint4:
      break;  // safetensors has no type of less than a byte
  }
  return "";
}

std::vector<StoredTensor> stored_tensors(std::span<const SafetensorsSpec> tensors) {
  std::vector<StoredTensor> stored;
  for (const SafetensorsSpec& tensor : tensors) {
    stored.push_back({tensor.name, stored_name(tensor.dtype), tensor.shape});
  }
  return stored;
}

}  // namespace

SafetensorsStream::SafetensorsStream(const std::filesystem::path& path,
                                     std::span<const SafetensorsSpec> tensors)
    : file_(path) {
  const std::vector<StoredTensor> stored = stored_tensors(tensors);
  for (const StoredTensor& tensor : stored) missing_bytes_ += tensor.size_bytes();
  file_.write(safetensors_header(stored));
}

void SafetensorsStream::write(std::span<const std::byte> bytes) {
  QUERN_CHECK(bytes.size() <= missing_bytes_, "{} of {} bytes", bytes.size(), missing_bytes_);
  missing_bytes_ -= bytes.size();
  file_.write(bytes);
}

void SafetensorsStream::finish() {
  QUERN_CHECK(missing_bytes_ == 0, "{} bytes are missing", missing_bytes_);
  file_.finish();
}

}  // namespace quern
