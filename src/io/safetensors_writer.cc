#include <unistd.h>

#include <fstream>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/error.h"
#include "base/shape.h"
#include "io/json.h"
#include "io/safetensors.h"

namespace quern {
namespace {

/// The length and the header, padded so that the data begins at a multiple of 8 bytes.
std::string make_header(std::span<const SafetensorsTensor> tensors) {
  Json header = Json::object();
  std::size_t end = 0;
  for (const SafetensorsTensor& tensor : tensors) {
    QUERN_CHECK(checked_numel(tensor.shape) == std::ssize(tensor.values), "tensor '{}': {} of {}",
                tensor.name, tensor.values.size(), shape_string(tensor.shape));
    QUERN_CHECK(!header.contains(tensor.name), "tensor '{}' given twice", tensor.name);
    const std::size_t begin = end;
    end += tensor.values.size_bytes();
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
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

void write_safetensors(const std::filesystem::path& path,
                       std::span<const SafetensorsTensor> tensors) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error)) {
    fail(ErrorCode::bad_file, "{}: cannot write: it is a folder or device", path.string());
  }
  const std::string header = make_header(tensors);
  const std::filesystem::path partial = fmt::format("{}.{}.partial", path.string(), ::getpid());
  std::ofstream stream(partial, std::ios::binary);
  stream.write(header.data(), std::ssize(header));
  for (const SafetensorsTensor& tensor : tensors) {
    const auto bytes = std::as_bytes(tensor.values);
    stream.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
  }
  stream.close();
  if (!stream) {
    const std::error_code reason(errno, std::generic_category());
    std::filesystem::remove(partial, error);
    fail(ErrorCode::bad_file, "{}: cannot write: {}", path.string(), reason.message());
  }
  std::filesystem::rename(partial, path, error);
  if (error) {
    const std::string reason = error.message();
    std::filesystem::remove(partial, error);
    fail(ErrorCode::bad_file, "{}: cannot write: {}", path.string(), reason);
  }
}

}  // namespace quern
