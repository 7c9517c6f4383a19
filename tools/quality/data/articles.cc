#include "tools/quality/data/articles.h"

#include <utility>

#include "quern/text.h"
#include "tools/cli/fail.h"
#include "tools/input/trimmed_text.h"
#include "tools/quality/data/records.h"

namespace quern::tools {
namespace {

std::string full_text_of(const JsonRecord& record, const TextField& field) {
  std::string text = text_of(record, field);
  if (trimmed_text(text).empty()) {
    fail(ErrorCode::bad_file, "{}: key {}: expected some text, got none but blanks",
         record.source(), quoted_name(field.name));
  }
  return text;
}

}  // namespace

Articles read_articles(const ArticleSource& source) {
  // Lines have no fields: what comes by a pipe and is no JSON is CSV.
  RecordReader reader(source.file, std::nullopt, RecordFormat::csv);
  Articles articles;
  while (std::ssize(articles.good) < source.max_articles) {
    try {
      const auto record = reader.next();
      if (!record) break;
      articles.good.push_back({full_text_of(*record, source.article),
                               full_text_of(*record, source.highlights), record->source()});
    } catch (const Error& error) {
      if (!source.skip_bad || error.code() != ErrorCode::bad_file) throw;
      ++articles.num_skipped;
    }
  }
  if (articles.good.empty()) {
    fail(ErrorCode::bad_file, "{}: expected at least one article, got none ({} bad ones skipped)",
         input_name(source.file), articles.num_skipped);
  }
  return articles;
}

}  // namespace quern::tools
