#include "tools/quality/data/records.h"

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/quality/data/csv.h"

namespace quern::tools {
namespace {

constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 20;

bool is_json_object(std::string_view line) {
  return line.starts_with('{') && nlohmann::json::accept(line);
}

RecordFormat guess_format(const std::filesystem::path& path, std::string_view text,
                          RecordFormat without_ending) {
  const std::string ending = path.extension().string();
  if (ending == ".csv") return RecordFormat::csv;
  const bool jsonl =
      ending == ".jsonl" || ending == ".ndjson" || is_json_object(text.substr(0, text.find('\n')));
  if (jsonl) return RecordFormat::jsonl;
  return ending.empty() ? without_ending : RecordFormat::lines;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void require_distinct(std::vector<std::string> columns, const std::string& place) {
  std::sort(columns.begin(), columns.end());
  const auto twice = std::adjacent_find(columns.begin(), columns.end());
  if (twice == columns.end()) return;
  fail(ErrorCode::bad_file, "{}: the header has column {} twice", place, quoted_name(*twice));
}

}  // namespace

RecordReader::RecordReader(const std::string& file, std::optional<RecordFormat> format,
                           RecordFormat without_ending)
    : name_(input_name(file)), input_(file) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  read_more();
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
  reject_lfs_pointer(rest_, name_);
  fill_line();
  format_ = format.value_or(guess_format(file, rest_, without_ending));
  if (format_ != RecordFormat::csv || rest_.empty()) return;
  const std::string where = place();
  columns_ = take_csv(where);
  require_distinct(columns_, where);
}

bool RecordReader::read_more() {
  constexpr std::size_t kLeastBytes = std::size_t{1} << 20;
  // As much again as there is, so that a long record takes linear time.
  std::string more = input_.read(std::max(kLeastBytes, rest_.size()));
  if (more.empty()) return false;
  if (rest_.size() >= kMaxRecordBytes) {
    fail(ErrorCode::bad_file, "{}: expected records of at most {} bytes", place(), kMaxRecordBytes);
  }
  std::string buffer(rest_);
  buffer += more;
  buffer_ = std::move(buffer);
  rest_ = buffer_;
  return true;
}

void RecordReader::fill_line() {
  for (std::size_t seen = 0; rest_.find('\n', seen) == rest_.npos;) {
    seen = rest_.size();
    if (!read_more()) return;
  }
}

std::string RecordReader::place() const { return fmt::format("{}:{}", name_, line_); }

std::string_view RecordReader::take_line() {
  fill_line();
  std::string_view line = rest_.substr(0, rest_.find('\n'));
  rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
  ++line_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::optional<JsonRecord> RecordReader::next() {
  while (!rest_.empty() || read_more()) {
    std::string where = place();
    if (rest_.size() < 2) read_more();
    const bool empty_line = rest_.starts_with('\n') || rest_.starts_with("\r\n");
    if (format_ == RecordFormat::csv && !empty_line) return read_csv(std::move(where));
    const std::string_view line = take_line();
    if (format_ == RecordFormat::lines) {
      require_utf8(line, where);
      return JsonRecord::of_texts({{kLineKey, std::string(line)}}, std::move(where));
    }
    if (is_blank(line)) continue;
    return JsonRecord::parse(line, std::move(where));
  }
  return std::nullopt;
}

std::vector<std::string> RecordReader::take_csv(const std::string& place) {
  while (true) {
    std::string_view left = rest_;
    std::vector<std::string> fields;
    std::exception_ptr error;
    try {
      fields = take_csv_record(left, place);
    } catch (...) {
      error = std::current_exception();
    }
    // What ends where the piece ends may go on in the next one.
    if (left.empty() && read_more()) continue;
    const std::string_view taken = rest_.substr(0, rest_.size() - left.size());
    rest_ = left;
    line_ += std::ranges::count(taken, '\n');
    if (error) std::rethrow_exception(error);
    require_utf8(taken, place);
    return fields;
  }
}

JsonRecord RecordReader::read_csv(std::string place) {
  std::vector<std::string> fields = take_csv(place);
  if (fields.size() != columns_.size()) {
    fail(ErrorCode::bad_file, "{}: expected {} fields, as the header has, got {}", place,
         columns_.size(), fields.size());
  }
  std::map<std::string, std::string> texts;
  for (std::size_t i = 0; i < fields.size(); ++i) texts[columns_[i]] = std::move(fields[i]);
  return JsonRecord::of_texts(texts, std::move(place));
}

}  // namespace quern::tools
