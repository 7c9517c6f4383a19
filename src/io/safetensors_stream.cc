#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/memory/shape.h"
#include "io/json.h"
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

std::string last_error() { return std::generic_category().message(errno); }

}  // namespace

SafetensorsStream::SafetensorsStream(std::filesystem::path path,
                                     std::span<const SafetensorsSpec> tensors)
    : path_(std::move(path)), partial_(fmt::format("{}.{}.partial", path_.string(), ::getpid())) {
  const std::string header = make_header(tensors);
  for (const SafetensorsSpec& tensor : tensors) missing_bytes_ += tensor_bytes(tensor);
  std::error_code error;
  if (std::filesystem::exists(path_, error) && !std::filesystem::is_regular_file(path_, error)) {
    refuse("it is a folder or device");
  }
  stream_.open(partial_, std::ios::binary);
  if (!stream_) refuse(last_error());
  stream_.write(header.data(), std::ssize(header));
}

SafetensorsStream::~SafetensorsStream() {
  std::error_code ignored;
  if (!finished_) std::filesystem::remove(partial_, ignored);
}

void SafetensorsStream::write(std::span<const std::byte> bytes) {
  QUERN_CHECK(bytes.size() <= missing_bytes_, "{} of {} bytes", bytes.size(), missing_bytes_);
  missing_bytes_ -= bytes.size();
  stream_.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  if (!stream_) refuse(last_error());
}

void SafetensorsStream::finish() {
  QUERN_CHECK(missing_bytes_ == 0, "{} bytes are missing", missing_bytes_);
  stream_.close();
  if (!stream_) refuse(last_error());
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  if (error) refuse(error.message());
  finished_ = true;
}

void SafetensorsStream::refuse(const std::string& reason) const {
  fail(ErrorCode::bad_file, "{}: cannot write: {}", path_.string(), reason);
}

}  // namespace quern
