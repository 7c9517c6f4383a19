#include "io/output/safetensors_header.h"

#include "base/check.h"
#include "base/memory/shape.h"
#include "io/json/json.h"
#include "io/tensor_file.h"

namespace quern {

std::uint64_t StoredTensor::size_bytes() const {
  const auto element_bytes = stored_element_bytes(stored_type);
  const auto numel = checked_numel(shape);
  QUERN_CHECK(element_bytes && numel, "tensor '{}': {} {}", name, stored_type, shape_string(shape));
  const auto bytes = checked_product(*numel, *element_bytes);
  QUERN_CHECK(bytes, "tensor '{}': {} {}", name, stored_type, shape_string(shape));
  return static_cast<std::uint64_t>(*bytes);
}

std::string safetensors_header(std::span<const StoredTensor> tensors, bool for_torch) {
  Json header = Json::object();
  if (for_torch) header["__metadata__"] = {{"format", "pt"}};
  std::uint64_t end = 0;
  for (const StoredTensor& tensor : tensors) {
    QUERN_CHECK(!header.contains(tensor.name), "tensor '{}' given twice", tensor.name);
    const std::uint64_t begin = end;
    end += tensor.size_bytes();
    header[tensor.name] = {
        {"dtype", tensor.stored_type}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  std::string text = header.dump();
  text.resize(align_up(text.size(), 8), ' ');
  std::string length(8, '\0');
  for (std::size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>(text.size() >> (8 * i) & 0xff);
  }
  return length + text;
}

}  // namespace quern
