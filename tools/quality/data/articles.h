#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tools/quality/data/text_field.h"

namespace quern::tools {

/// An article and the summary that people wrote of it.
struct Article {
  std::string text;
  std::string highlights;
  std::string place;  ///< "file:line"
};

/// Where articles come from.
struct ArticleSource {
  std::string file;
  TextField article = {"article", "--article-field"};
  TextField highlights = {"highlights", "--highlights-field"};
  int max_articles = 20;
  bool skip_bad = false;
};

struct Articles {
  std::vector<Article> good;
  std::size_t num_skipped = 0;  ///< bad ones before the last good one
};

/// The first articles of the file, no more than are wanted. Errors: not_found; bad_file naming the
/// line of a bad record (broken, a field missing or no text, or nothing but blanks), unless these
/// are to be skipped; bad_file when no article is left.
Articles read_articles(const ArticleSource& source);

}  // namespace quern::tools
