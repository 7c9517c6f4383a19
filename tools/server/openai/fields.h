#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tools/output/json_output.h"

namespace quern::tools {

/// The fields of a request's JSON object. Each is asked for by its name and type; what nobody asked
/// for is unknown, and an error. A null counts as absent. Errors: ApiError 400 naming the field.
class Fields {
 public:
  /// Parses a body. Errors: ApiError 400 for what is no JSON object within the limits of
  /// parse_json_text().
  explicit Fields(std::string_view body);
  /// An object within another; `path` is what errors call it ("stream_options").
  Fields(const OrderedJson& object, std::string path);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  /// The value, or null where it is absent.
  const OrderedJson* find(const std::string& name);
  const OrderedJson& required(const std::string& name);

  bool boolean(const std::string& name, bool unset);
  std::optional<std::int64_t> integer(const std::string& name, std::int64_t low, std::int64_t high);
  std::optional<float> number(const std::string& name, double low, double high);
  std::optional<std::string> text(const std::string& name);
  std::optional<std::vector<std::int32_t>> token_ids(const std::string& name);

  /// Fields that change nothing here, whatever their values.
  void ignore(std::initializer_list<std::string_view> names);
  /// A field that is understood, but not served: anything but null, false, [] and {} is an error
  /// that says `why`.
  void refuse(const std::string& name, std::string_view why);
  /// Errors: 400 naming the first field that nobody asked for, and the nearest known name.
  void reject_unknown() const;

  /// "stream_options.include_usage", say.
  std::string path_of(const std::string& name) const;

 private:
  OrderedJson held_;
  const OrderedJson* object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
};

/// A value as an error shows it: its JSON, shortened.
std::string shown_value(const OrderedJson& value);

/// Token ids of a list. Errors: ApiError 400 naming `path`.
std::vector<std::int32_t> token_ids_of(const OrderedJson& list, const std::string& path);

}  // namespace quern::tools
