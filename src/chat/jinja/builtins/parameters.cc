#include "chat/jinja/builtins/parameters.h"

#include <fmt/format.h>

#include <algorithm>

#include "quern/text.h"

namespace quern::jinja {

Parameters::Parameters(const char* function, const Arguments& arguments,
                       std::initializer_list<std::string_view> names, std::size_t num_required)
    : function_(function) {
  if (arguments.positional.size() > names.size()) {
    type_error(fmt::format("{}() takes at most {} arguments ({} given)", function, names.size(),
                           arguments.positional.size()));
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = &arguments.positional[i];
  }
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) {
      type_error(
          fmt::format("{}() got an unexpected keyword argument {}", function, quoted_name(name)));
    }
    const auto i = static_cast<std::size_t>(it - names.begin());
    if (values_[i] != nullptr) {
      type_error(
          fmt::format("{}() got multiple values for argument {}", function, quoted_name(name)));
    }
    values_[i] = &value;
  }
  for (std::size_t i = 0; i < num_required; ++i) {
    if (values_[i] == nullptr) {
      type_error(fmt::format("{}() missing required argument '{}'", function, names.begin()[i]));
    }
  }
}

std::int64_t Parameters::integer(std::size_t i, std::int64_t otherwise) const {
  if (!has(i)) return otherwise;
  if (values_[i]->is(Kind::undefined)) undefined_error(*values_[i]);
  if (!values_[i]->is_integral()) {
    type_error(fmt::format("'{}' object cannot be interpreted as an integer (in {}())",
                           type_name(*values_[i]), function_));
  }
  return values_[i]->integer();
}

const Text& Parameters::text(std::size_t i) const {
  static const Text empty;
  if (!has(i)) return empty;
  if (!values_[i]->is(Kind::string)) {
    if (values_[i]->is(Kind::undefined)) undefined_error(*values_[i]);
    type_error(fmt::format("{}() argument must be str, not {}", function_, type_name(*values_[i])));
  }
  return values_[i]->text();
}

}  // namespace quern::jinja
