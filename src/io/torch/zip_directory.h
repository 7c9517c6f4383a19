#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "quern/files.h"

namespace quern {

/// The uncompressed entries of a zip archive, from its central directory; zip64 too. Nothing is
/// unpacked. Source: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5.
class ZipDirectory {
 public:
  /// `file` must outlive this. Errors: bad_file for what is no archive and for names that are
  /// given twice or leave the archive's folder; unsupported for compressed and encrypted entries.
  explicit ZipDirectory(const OpenFile& file);

  /// Where an entry's bytes lie in the file.
  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
  };
  /// Errors: bad_file for an entry that is not there or does not lie within the file.
  Place find(const std::string& name) const;
  bool contains(const std::string& name) const { return entries_.contains(name); }

  /// The one folder of the archive that has a file of that name. Errors: bad_file when there is
  /// none or more than one.
  std::string folder_with(std::string_view file_name) const;

 private:
  struct Entry {
    std::uint64_t header_offset = 0;
    std::uint64_t size_bytes = 0;
  };
  struct Extent {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t num_entries = 0;
  };
  Extent find_directory() const;
  void read_entries(const Extent& directory);
  [[noreturn]] void refuse(const std::string& reason) const;

  const OpenFile& file_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace quern
