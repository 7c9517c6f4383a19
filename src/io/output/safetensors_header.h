#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace quern {

/// A tensor to be written, by safetensors' spelling of its type.
struct StoredTensor {
  std::string name;
  std::string stored_type;
  std::vector<std::int64_t> shape;

  /// Bytes of its values. Errors: internal for an unknown type and sizes that overflow.
  std::uint64_t size_bytes() const;
};

/// The length and the header of a file whose tensors' values follow each other in this order,
/// padded so that they begin at a multiple of 8 bytes. With `for_torch` it has the metadata without
/// which transformers refuses a file. Errors: internal for a name that is given twice.
std::string safetensors_header(std::span<const StoredTensor> tensors, bool for_torch = false);

}  // namespace quern
