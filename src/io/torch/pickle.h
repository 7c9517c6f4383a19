#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// A value of a pickle, in the arena of its PickleReader. Nothing of it is ever executed.
struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,  ///< integer is 0 or 1
    integer,
    number,   ///< its value is not kept
    string,   ///< text
    tuple,    ///< items
    list,     ///< items
    dict,     ///< items: keys and values in turn
    global,   ///< text: "module.name", one of those that are known
    storage,  ///< items: type, key, location, number of elements, and in old files a view
    tensor,   ///< items: storage, sizes, strides; integer: its offset in elements
    other,    ///< an object of a known class that is no tensor
  };

  Kind kind = Kind::none;
  std::int64_t integer = 0;
  std::string text;
  std::vector<const PickleValue*> items;

  bool is(Kind wanted) const { return kind == wanted; }
};

/// Reads the pickles that torch.save writes, as torch's weights_only unpickler does: the opcodes of
/// protocol 2, the classes and functions that tensors need, and nothing else.
/// Errors: unsupported for other opcodes and globals, by name; bad_file for a pickle that is broken
/// or too large.
class PickleReader {
 public:
  /// `file` begins errors.
  explicit PickleReader(std::string file) : file_(std::move(file)) {}

  /// The value of the pickle at the start of `bytes`, which is taken off. It lives as long as the
  /// reader.
  const PickleValue& read(std::string_view& bytes);

 private:
  class Machine;

  std::string file_;
  std::deque<PickleValue> values_;
};

}  // namespace quern
