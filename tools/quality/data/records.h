#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/files.h"
#include "tools/input/json_input.h"

namespace quern::tools {

enum class RecordFormat : std::uint8_t {
  jsonl,  ///< a JSON object a line; blank lines are skipped
  csv,    ///< see csv.h; the first record names the columns; empty lines are skipped
  lines,  ///< each line is the text of a record, even an empty one
};

/// A text file's records, one after the other. The file is mapped: only what is asked for is read.
class RecordReader {
 public:
  /// One record: a JSON object, whose values are strings where the file is no JSON.
  struct Record {
    Json json;
    std::string place;  ///< "file:line", for errors
    JsonObject object() const { return JsonObject(json, place); }
  };

  /// Where a record of lines has its text.
  static constexpr const char* kLineKey = "text";

  /// Without a format, the name's ending tells (.jsonl, .ndjson, .csv), or else the first line: a
  /// JSON object, or text. Errors: not_found; bad_file for an unreadable file and for a bad CSV
  /// header.
  explicit RecordReader(const std::filesystem::path& path,
                        std::optional<RecordFormat> format = std::nullopt);

  /// The next record, or nothing at the end. Errors: bad_file naming the line, for broken JSON or
  /// CSV and for text that is not UTF-8; the next call goes on behind it.
  std::optional<Record> next();

 private:
  std::string place() const;
  std::string_view take_line();
  Record read_csv(std::string place);

  MappedFile file_;
  RecordFormat format_;
  std::string_view rest_;
  std::int64_t line_ = 1;  ///< of the first byte of rest_
  std::vector<std::string> columns_;
};

}  // namespace quern::tools
