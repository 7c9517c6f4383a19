#pragma once

#include <string>

#include "quern/json.h"

namespace quern::tools {

/// Which field of a file's records holds a text, and which option says so.
struct TextField {
  std::string name;
  std::string option;  ///< "--article-field"
};

/// The text in that field. Errors: bad_file when it is no text, and when the record has no such
/// field, naming those it has and the option.
std::string text_of(const JsonRecord& record, const TextField& field);

}  // namespace quern::tools
