#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

using Json = nlohmann::json;

/// Parses one JSON document: UTF-8, no key twice in an object, at most 100 levels deep. `source` is
/// what errors call the text. Errors: bad_file with the place.
Json parse_json(std::string_view text, const std::string& source);

/// Typed reading of a JSON object's keys; every error names source, key, expected and actual. null
/// counts as absent.
class JsonObject {
 public:
  /// `json` must outlive this. Errors: bad_file when it is not an object.
  JsonObject(const Json& json, std::string source, std::string prefix = "");

  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json* find(std::string_view key) const;  ///< null when absent or JSON null
  /// Nothing when absent. Errors: bad_file for another type or out of [low, high].
  std::optional<double> number(std::string_view key, double low, double high) const;
  std::optional<JsonObject> object(std::string_view key) const;

  // Errors: as above, and bad_file when absent.
  double required_number(std::string_view key, double low, double high) const;
  std::string required_string(std::string_view key) const;
  /// A list of token ids, integers from 0 to 2^31 - 1.
  std::vector<std::int32_t> required_ids(std::string_view key) const;

  /// Errors: bad_file naming the first key that is none of these, and these.
  void require_only(std::span<const std::string_view> known) const;

  /// Throws bad_file: "<source>: key '<key>': expected <expected>, got <the value, shortened>".
  [[noreturn]] void reject(std::string_view key, std::string_view expected) const;

 private:
  const Json* json_;
  std::string source_;
  std::string prefix_;
};

}  // namespace quern::tools
