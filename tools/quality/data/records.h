#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/json.h"
#include "tools/input/text_input.h"

namespace quern::tools {

enum class RecordFormat : std::uint8_t {
  jsonl,  ///< a JSON object a line; blank lines are skipped
  csv,    ///< see csv.h; the first record names the columns; empty lines are skipped
  lines,  ///< each line is the text of a record, even an empty one
};

/// The records of a text, one after the other. Only what is asked for is read, a piece at a time,
/// and a file that is cut short meanwhile is an error. A record has at most 64 MiB.
class RecordReader {
 public:
  /// Where a record of lines has its text.
  static constexpr const char* kLineKey = "text";

  /// `file` is a file, "-" or a pipe. Without a format the ending of its name tells (.jsonl,
  /// .ndjson, .csv), or else the first line, if that is a JSON object. Otherwise it has lines, or
  /// `without_ending` where the name has no ending, as those of pipes. Errors: not_found; bad_file
  /// for an unreadable file and for a bad CSV header.
  explicit RecordReader(const std::string& file, std::optional<RecordFormat> format = std::nullopt,
                        RecordFormat without_ending = RecordFormat::lines);
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  /// The next record, or nothing at the end: its values are strings where the file is no JSON, and
  /// its source is "file:line". Errors: bad_file naming the line, for broken JSON or
  /// CSV and for text that is not UTF-8; the next call continues after it.
  std::optional<JsonRecord> next();

 private:
  std::string place() const;
  std::string_view take_line();
  std::vector<std::string> take_csv(const std::string& place);
  JsonRecord read_csv(std::string place);
  /// Reads more behind what is left. Returns false at the end of the file.
  bool read_more();
  /// Reads on until what is left has a line end, or all of it.
  void fill_line();

  std::string name_;
  InputBytes input_;
  std::string buffer_;
  RecordFormat format_ = RecordFormat::lines;
  std::string_view rest_;  ///< of buffer_: what was read and not taken
  std::int64_t line_ = 1;  ///< of the first byte of rest_
  std::vector<std::string> columns_;
};

}  // namespace quern::tools
