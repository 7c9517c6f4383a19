#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern::testing {

/// An entry of a zip archive, which need not make sense.
struct ZipEntry {
  std::string name;
  std::string content;
  std::uint16_t method = 0;  ///< 8: deflate
  std::uint16_t flags = 0;
  std::uint32_t declared_bytes_more = 0;  ///< than the content has
};

inline void append_number(std::string& bytes, std::uint64_t number, int size) {
  for (int i = 0; i < size; ++i, number >>= 8) bytes += static_cast<char>(number & 0xff);
}

/// A zip archive of these entries, as torch.save writes one.
inline std::string make_zip(const std::vector<ZipEntry>& entries) {
  std::string file;
  std::string directory;
  for (const ZipEntry& entry : entries) {
    const std::uint64_t offset = file.size();
    const std::uint64_t size = entry.content.size() + entry.declared_bytes_more;
    const auto append_common = [&](std::string& out) {
      append_number(out, entry.flags, 2);
      append_number(out, entry.method, 2);
      append_number(out, 0, 8);  // time, date, checksum
      append_number(out, size, 4);
      append_number(out, size, 4);
      append_number(out, entry.name.size(), 2);
      append_number(out, 0, 2);
    };
    file += "PK\3\4";
    append_number(file, 20, 2);
    append_common(file);
    file += entry.name + entry.content;
    directory += "PK\1\2";
    append_number(directory, 20, 2);
    append_number(directory, 20, 2);
    append_common(directory);
    append_number(directory, 0, 2 + 2 + 2 + 4);
    append_number(directory, offset, 4);
    directory += entry.name;
  }
  const std::uint64_t begin = file.size();
  file += directory + "PK\5\6";
  append_number(file, 0, 4);
  append_number(file, entries.size(), 2);
  append_number(file, entries.size(), 2);
  append_number(file, directory.size(), 4);
  append_number(file, begin, 4);
  append_number(file, 0, 2);
  return file;
}

/// The pickle of a string, a small integer, a tuple of pickled values, a call.
inline std::string pickled(std::string_view text) {
  std::string bytes = "X";
  append_number(bytes, text.size(), 4);
  return bytes.append(text);
}
inline std::string pickled(std::int32_t number) {
  std::string bytes = "J";
  append_number(bytes, static_cast<std::uint32_t>(number), 4);
  return bytes;
}
inline std::string pickled_tuple(std::initializer_list<std::string> items) {
  std::string bytes = "(";
  for (const std::string& item : items) bytes += item;
  return bytes + 't';
}
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

/// What a pickled tensor says of itself.
struct PickledTensor {
  std::string storage_type = "FloatStorage";
  std::string key = "0";
  std::int32_t numel = 6;  ///< of the storage
  std::int32_t first = 0;
  std::vector<std::int32_t> sizes = {2, 3};
  std::vector<std::int32_t> strides = {3, 1};
};

inline std::string pickled(const PickledTensor& tensor) {
  const auto list = [](const std::vector<std::int32_t>& numbers) {
    std::string bytes = "(";
    for (const std::int32_t number : numbers) bytes += pickled(number);
    return bytes + 't';
  };
  const std::string storage =
      pickled_tuple({pickled("storage"), pickled_global("torch", tensor.storage_type),
                     pickled(tensor.key), pickled("cpu"), pickled(tensor.numel)}) +
      'Q';
  return pickled_global("torch._utils", "_rebuild_tensor_v2") +
         pickled_tuple({storage, pickled(tensor.first), list(tensor.sizes), list(tensor.strides),
                        "\x89", pickled_global("collections", "OrderedDict") + ")R"}) +
         'R';
}

/// The data.pkl of a state dict of one tensor named "w".
inline std::string pickled_state(const std::string& value) {
  return std::string("\x80\x02}") + pickled("w") + value + "s.";
}

}  // namespace quern::testing
