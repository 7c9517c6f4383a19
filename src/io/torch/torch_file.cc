#include "io/torch/torch_file.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/memory/shape.h"
#include "io/torch/pickle.h"
#include "io/torch/pickle_names.h"
#include "io/torch/zip_directory.h"
#include "quern/text.h"

namespace quern {
namespace {

using Kind = PickleValue::Kind;
using Tensors = std::map<std::string, CheckpointTensor, std::less<>>;

constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{8} << 20;
constexpr std::size_t kMaxTorchRank = 64;
constexpr std::size_t kMaxTorchTensors = 100'000;

/// Where the elements of a storage lie in the file.
struct StoragePlace {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
};
using FindStorage = std::function<StoragePlace(const PickleValue& storage)>;

/// The non-negative integers of a tuple or list.
std::optional<std::vector<std::int64_t>> sizes_of(const PickleValue& value) {
  if (!value.is(Kind::tuple) && !value.is(Kind::list)) return std::nullopt;
  std::vector<std::int64_t> sizes;
  for (const PickleValue* item : value.items) {
    if (!item->is(Kind::integer) || item->integer < 0) return std::nullopt;
    sizes.push_back(item->integer);
  }
  return sizes;
}

bool is_row_major(const std::vector<std::int64_t>& shape,
                  const std::vector<std::int64_t>& strides) {
  std::int64_t expected = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] != 1 && strides[axis] != expected) return false;
    expected *= shape[axis];
  }
  return true;
}

class TensorReader {
 public:
  TensorReader(std::shared_ptr<const OpenFile> file, FindStorage find_storage)
      : file_(std::move(file)), find_storage_(std::move(find_storage)) {}

  /// The tensors of a dict. Of names given twice the last one counts.
  Tensors read(const PickleValue& root) const {
    if (!root.is(Kind::dict)) refuse("", "expected a state dict of tensors by name");
    Tensors tensors;
    for (std::size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue& name = *root.items[i];
      const PickleValue& value = *root.items[i + 1];
      if (!name.is(Kind::string) || !value.is(Kind::tensor)) continue;
      if (tensors.size() == kMaxTorchTensors) {
        refuse("", fmt::format("expected at most {} tensors", kMaxTorchTensors));
      }
      tensors.insert_or_assign(name.text, read_tensor(name.text, value));
    }
    return tensors;
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& reason) const {
    fail(ErrorCode::bad_file, "{}: {}{}", file_->path().string(),
         name.empty() ? "" : fmt::format("tensor {}: ", quoted_name(name)), reason);
  }

  CheckpointTensor read_tensor(const std::string& name, const PickleValue& value) const {
    const PickleValue& storage = *value.items[0];
    const auto shape = sizes_of(*value.items[1]);
    const auto strides = sizes_of(*value.items[2]);
    if (!shape || !strides || shape->size() != strides->size() || shape->size() > kMaxTorchRank ||
        value.integer < 0) {
      refuse(name, "expected sizes and strides from 0 on, as many of the one as of the other");
    }
    CheckpointTensor tensor;
    tensor.file = file_;
    tensor.stored_type = torch_stored_type(value.text);
    const auto element_bytes = stored_element_bytes(tensor.stored_type);
    if (!element_bytes) {
      fail(ErrorCode::unsupported, "{}: tensor {}: unknown dtype {}", file_->path().string(),
           quoted_name(name), quoted_name(value.text));
    }
    const auto numel = checked_numel(*shape);
    const auto size_bytes = numel ? checked_product(*numel, *element_bytes) : std::nullopt;
    if (!size_bytes)
      refuse(name, fmt::format("the size of shape {} overflows", shape_string(*shape)));

    const StoragePlace place = find_storage_(storage);
    const auto end = *numel == 0 ? std::optional(std::int64_t{0})
                                 : end_of(value.integer, *shape, *strides, *element_bytes);
    if (!end || static_cast<std::uint64_t>(*end) > place.size_bytes) {
      refuse(name, fmt::format("shape {} from element {} on lies outside its storage of {} bytes",
                               shape_string(*shape), value.integer, place.size_bytes));
    }
    tensor.shape = *shape;
    if (*numel > 0) {
      tensor.offset = place.offset + static_cast<std::uint64_t>(value.integer * *element_bytes);
      if (!is_row_major(*shape, *strides)) tensor.strides = *strides;
    }
    tensor.size_bytes = static_cast<std::uint64_t>(*size_bytes);
    return tensor;
  }

  /// The byte behind a tensor's last element, or nothing when it overflows.
  static std::optional<std::int64_t> end_of(std::int64_t first,
                                            const std::vector<std::int64_t>& shape,
                                            const std::vector<std::int64_t>& strides,
                                            std::int64_t element_bytes) {
    std::int64_t last = first;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      const auto step = checked_product(shape[axis] - 1, strides[axis]);
      if (!step || __builtin_add_overflow(last, *step, &last)) return std::nullopt;
    }
    if (__builtin_add_overflow(last, 1, &last)) return std::nullopt;
    return checked_product(last, element_bytes);
  }

  std::shared_ptr<const OpenFile> file_;
  FindStorage find_storage_;
};

// The items of a storage value: see PickleReader.
const std::string& type_of(const PickleValue& storage) { return storage.items[0]->text; }
const std::string& key_of(const PickleValue& storage) { return storage.items[1]->text; }

/// The bytes that a storage says it has.
std::uint64_t declared_bytes(const std::string& file, const PickleValue& storage) {
  const auto element_bytes = stored_element_bytes(torch_stored_type(type_of(storage)));
  const std::int64_t numel = storage.items[3]->integer;
  const auto bytes = element_bytes && numel >= 0 ? checked_product(numel, *element_bytes)
                                                 : std::optional<std::int64_t>();
  if (!bytes) {
    fail(ErrorCode::bad_file,
         "{}: storage {}: expected a number of elements of a known type, got "
         "{} of {}",
         file, quoted_name(key_of(storage)), numel, quoted_name(type_of(storage)));
  }
  return static_cast<std::uint64_t>(*bytes);
}

Tensors read_archive(const std::shared_ptr<const OpenFile>& file) {
  const std::string path = file->path().string();
  const ZipDirectory zip(*file);
  const std::string folder = zip.folder_with("data.pkl");
  if (zip.contains(folder + "/constants.pkl")) {
    fail(ErrorCode::unsupported, "{}: expected a state dict, got a TorchScript program", path);
  }
  if (zip.contains(folder + "/byteorder")) {
    const auto place = zip.find(folder + "/byteorder");
    const auto shown = static_cast<std::size_t>(std::min<std::uint64_t>(place.size_bytes, 16));
    const std::string order = file->read_text(place.offset, shown);
    if (order != "little") {
      fail(ErrorCode::unsupported, "{}: expected byte order 'little', got {}", path,
           quoted_name(order));
    }
  }
  const auto place = zip.find(folder + "/data.pkl");
  if (place.size_bytes > kMaxPickleBytes) {
    fail(ErrorCode::bad_file, "{}: expected a data.pkl of at most {} bytes, got {}", path,
         kMaxPickleBytes, place.size_bytes);
  }
  const std::string pickle =
      file->read_text(place.offset, static_cast<std::size_t>(place.size_bytes));
  std::string_view rest = pickle;
  PickleReader reader(path);
  const PickleValue& root = reader.read(rest);
  const TensorReader tensors(file, [&](const PickleValue& storage) {
    const auto stored = zip.find(folder + "/data/" + key_of(storage));
    const std::uint64_t declared = declared_bytes(path, storage);
    if (declared > stored.size_bytes) {
      fail(ErrorCode::bad_file, "{}: storage {}: expected {} bytes, got {}", path,
           quoted_name(key_of(storage)), declared, stored.size_bytes);
    }
    return StoragePlace{stored.offset, declared};
  });
  return tensors.read(root);
}

/// The storages of the format before zip archives, which lie one after the other behind the
/// pickles.
class LegacyStorages {
 public:
  explicit LegacyStorages(const OpenFile& file) : file_(file), path_(file.path().string()) {}

  /// Notes the storages that the tensors of `root` are in.
  void note(const PickleValue& root) {
    for (const PickleValue* value : root.items) {
      if (!value->is(Kind::tensor)) continue;
      const PickleValue& storage = *value->items[0];
      const std::uint64_t bytes = declared_bytes(path_, storage);
      const auto [it, is_new] = bytes_.try_emplace(key_of(storage), Declared{bytes, &storage});
      if (!is_new && it->second.size_bytes != bytes) {
        fail(ErrorCode::bad_file, "{}: storage {}: expected {} bytes, got {}", path_,
             quoted_name(key_of(storage)), it->second.size_bytes, bytes);
      }
    }
  }

  /// Finds them from `offset` on, in the order of `keys`.
  void place(const PickleValue& keys, std::uint64_t offset) {
    if (!keys.is(Kind::list)) {
      fail(ErrorCode::bad_file, "{}: expected a list of storage keys", path_);
    }
    for (const PickleValue* key : keys.items) {
      const auto declared = bytes_.find(key->text);
      if (!key->is(Kind::string) || declared == bytes_.end()) {
        fail(ErrorCode::bad_file, "{}: storage {}: no tensor is in it, its size is not known",
             path_, quoted_name(key->text));
      }
      const std::uint64_t size_bytes = declared->second.size_bytes;
      std::uint64_t numel = 0;
      constexpr std::uint64_t kCountBytes = sizeof(numel);
      if (offset > file_.size_bytes() || file_.size_bytes() - offset < kCountBytes ||
          file_.size_bytes() - offset - kCountBytes < size_bytes) {
        fail(ErrorCode::bad_file, "{}: storage {}: {} bytes lie outside the file", path_,
             quoted_name(key->text), size_bytes);
      }
      file_.read(offset, std::as_writable_bytes(std::span(&numel, 1)));  // little-endian, as we are
      const std::int64_t expected = declared->second.storage->items[3]->integer;
      if (numel != static_cast<std::uint64_t>(expected)) {
        fail(ErrorCode::bad_file, "{}: storage {}: expected {} elements, got {}", path_,
             quoted_name(key->text), expected, numel);
      }
      offset += kCountBytes;
      places_.insert_or_assign(key->text, StoragePlace{offset, size_bytes});
      offset += size_bytes;
    }
  }

  StoragePlace find(const PickleValue& storage) const {
    const auto found = places_.find(key_of(storage));
    if (found == places_.end()) {
      fail(ErrorCode::bad_file, "{}: storage {}: the file has no such storage", path_,
           quoted_name(key_of(storage)));
    }
    if (storage.items.size() < 5 || storage.items[4]->is(Kind::none)) return found->second;
    // A view: (key, first element, number of elements).
    const PickleValue& view = *storage.items[4];
    const std::uint64_t element_bytes = static_cast<std::uint64_t>(
        stored_element_bytes(torch_stored_type(type_of(storage))).value());
    const std::uint64_t numel = found->second.size_bytes / element_bytes;
    const bool is_view = view.is(Kind::tuple) && view.items.size() == 3 &&
                         view.items[1]->is(Kind::integer) && view.items[2]->is(Kind::integer) &&
                         view.items[1]->integer >= 0 && view.items[2]->integer >= 0;
    if (!is_view || static_cast<std::uint64_t>(view.items[1]->integer) > numel ||
        static_cast<std::uint64_t>(view.items[2]->integer) >
            numel - static_cast<std::uint64_t>(view.items[1]->integer)) {
      fail(ErrorCode::bad_file, "{}: storage {}: its view lies outside it", path_,
           quoted_name(key_of(storage)));
    }
    return {
        found->second.offset + static_cast<std::uint64_t>(view.items[1]->integer) * element_bytes,
        static_cast<std::uint64_t>(view.items[2]->integer) * element_bytes};
  }

 private:
  struct Declared {
    std::uint64_t size_bytes = 0;
    const PickleValue* storage = nullptr;
  };

  const OpenFile& file_;
  std::string path_;
  std::map<std::string, Declared, std::less<>> bytes_;
  std::map<std::string, StoragePlace, std::less<>> places_;
};

/// "little_endian" of the old format's dict about the machine that wrote it.
bool is_little_endian(const PickleValue& system) {
  for (std::size_t i = 0; i + 1 < system.items.size(); i += 2) {
    if (system.items[i]->text == "little_endian") return system.items[i + 1]->integer == 1;
  }
  return true;
}

Tensors read_legacy(const std::shared_ptr<const OpenFile>& file) {
  const std::string path = file->path().string();
  const auto head_bytes = static_cast<std::size_t>(std::min(file->size_bytes(), kMaxPickleBytes));
  const std::string head = file->read_text(0, head_bytes);
  std::string_view rest = head;
  PickleReader reader(path);
  reader.read(rest);  // the magic number, which the caller has seen
  const PickleValue& version = reader.read(rest);
  constexpr std::int64_t kVersion = 1001;
  if (!version.is(Kind::integer) || version.integer != kVersion) {
    fail(ErrorCode::unsupported, "{}: expected version {} of torch.save's old format, got {}", path,
         kVersion, version.integer);
  }
  if (!is_little_endian(reader.read(rest))) {
    fail(ErrorCode::unsupported, "{}: expected byte order 'little', got 'big'", path);
  }
  const PickleValue& root = reader.read(rest);
  const PickleValue& keys = reader.read(rest);
  LegacyStorages storages(*file);
  storages.note(root);
  storages.place(keys, head.size() - rest.size());
  const TensorReader tensors(file,
                             [&](const PickleValue& storage) { return storages.find(storage); });
  return tensors.read(root);
}

}  // namespace

Tensors read_torch_file(const std::filesystem::path& path) {
  constexpr std::size_t kTarMagicAt = 257;
  constexpr std::uint64_t kStartBytes = 512;
  // The pickle of torch's magic number 0x1950a86a20f9469cfc6c.
  constexpr std::string_view kLegacyStart =
      "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  const auto file = std::make_shared<const OpenFile>(path);
  const std::string start =
      file->read_text(0, static_cast<std::size_t>(std::min(file->size_bytes(), kStartBytes)));
  reject_lfs_pointer(start, path);
  if (start.starts_with("PK\3\4")) return read_archive(file);
  if (start.starts_with(kLegacyStart)) return read_legacy(file);
  if (start.size() > kTarMagicAt &&
      std::string_view(start).substr(kTarMagicAt).starts_with("ustar")) {
    fail(ErrorCode::unsupported, "{}: torch.save's tar format of 2017 is not read", path.string());
  }
  fail(ErrorCode::bad_file, "{}: expected a file that torch.save wrote, got something else",
       path.string());
}

}  // namespace quern
