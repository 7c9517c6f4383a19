#include "base/check.h"
#include "base/memory/shape.h"
#include "io/json/json.h"
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

std::uint64_t tensor_bytes(const SafetensorsSpec& tensor) {
  return static_cast<std::uint64_t>(checked_numel(tensor.shape).value()) *
         dtype_bytes(tensor.dtype);
}

/// The length and the header, padded so that the data begins at a multiple of 8 bytes.
std::string make_header(std::span<const SafetensorsSpec> tensors) {
  Json header = Json::object();
  std::uint64_t end = 0;
  for (const SafetensorsSpec& tensor : tensors) {
    QUERN_CHECK(!header.contains(tensor.name), "tensor '{}' given twice", tensor.name);
    const std::uint64_t begin = end;
    end += tensor_bytes(tensor);
    header[tensor.name] = {{"dtype", stored_name(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize(align_up(text.size(), 8), ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  return length + text;
}

}  // namespace

SafetensorsStream::SafetensorsStream(const std::filesystem::path& path,
                                     std::span<const SafetensorsSpec> tensors)
    : file_(path) {
  for (const SafetensorsSpec& tensor : tensors) missing_bytes_ += tensor_bytes(tensor);
  file_.write(make_header(tensors));
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
