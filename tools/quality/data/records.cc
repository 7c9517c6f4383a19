#include "tools/quality/data/records.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/quality/data/csv.h"

namespace quern::tools {
namespace {

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

bool is_json_object(std::string_view line) {
  if (!line.starts_with('{')) return false;
  return Json::parse(line, nullptr, false).is_object();
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
    : name_(input_name(file)),
      bytes_(InputBytes::open(file)),
      rest_(without_byte_order_mark(bytes_.view())) {
  reject_lfs_pointer(rest_, name_);
  format_ = format.value_or(guess_format(file, rest_, without_ending));
  if (format_ != RecordFormat::csv || rest_.empty()) return;
  const std::string_view header = rest_;
  columns_ = take_csv_record(rest_, place());
  const std::string_view taken = header.substr(0, header.size() - rest_.size());
  require_utf8(taken, place());
  require_distinct(columns_, place());
  line_ += std::count(taken.begin(), taken.end(), '\n');
}

std::string RecordReader::place() const { return fmt::format("{}:{}", name_, line_); }

std::string_view RecordReader::take_line() {
  std::string_view line = rest_.substr(0, rest_.find('\n'));
  rest_.remove_prefix(std::min(line.size() + 1, rest_.size()));
  ++line_;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::optional<RecordReader::Record> RecordReader::next() {
  while (!rest_.empty()) {
    std::string where = place();
    const bool empty_line = rest_.starts_with('\n') || rest_.starts_with("\r\n");
    if (format_ == RecordFormat::csv && !empty_line) return read_csv(std::move(where));
    const std::string_view line = take_line();
    if (format_ == RecordFormat::lines) {
      require_utf8(line, where);
      return Record{{{kLineKey, std::string(line)}}, std::move(where)};
    }
    if (is_blank(line)) continue;
    Record record{parse_json(line, where), where};
    record.object();  // which refuses what is none
    return record;
  }
  return std::nullopt;
}

RecordReader::Record RecordReader::read_csv(std::string place) {
  const std::string_view before = rest_;
  const auto taken = [&] { return before.substr(0, before.size() - rest_.size()); };
  const auto count_lines = [&] { line_ += std::ranges::count(taken(), '\n'); };
  std::vector<std::string> fields;
  try {
    fields = take_csv_record(rest_, place);
  } catch (...) {
    count_lines();
    throw;
  }
  count_lines();
  require_utf8(taken(), place);
  if (fields.size() != columns_.size()) {
    fail(ErrorCode::bad_file, "{}: expected {} fields, as the header has, got {}", place,
         columns_.size(), fields.size());
  }
  Record record{Json::object(), std::move(place)};
  for (std::size_t i = 0; i < fields.size(); ++i) record.json[columns_[i]] = std::move(fields[i]);
  return record;
}

}  // namespace quern::tools
