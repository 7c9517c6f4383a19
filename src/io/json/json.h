#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/text.h"

namespace quern {

/// Keys are sorted by name; nlohmann's ordered_json is quadratic in the size of a vocabulary.
using Json = nlohmann::json;

/// Sees every event of a parse and takes a key or value out of the document by returning false: how
/// tables too long for a Json are read. Events, depths and what may be taken are those of
/// nlohmann's parser callback.
using JsonFilter = Json::parser_callback_t;

// The longest file of each kind that is read.
inline constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxTokenizerBytes = std::size_t{64} << 20;

/// What a key means that an object has twice.
enum class DuplicateKeys : std::uint8_t {
  last_counts,  ///< as in Python's json, which reads Hugging Face's files
  refused,
};

/// Parses one JSON document: UTF-8, at most 100 levels deep, nothing after it. `file` is what
/// errors call the text.
/// Cost: time n log n; memory of at most 10 times the text and 64 MiB, or it is an error.
/// Errors: bad_file with the place.
Json parse_json(std::string_view text, const std::string& file, const JsonFilter& filter = nullptr,
                DuplicateKeys duplicates = DuplicateKeys::last_counts);

/// Reads and parses a file of at most `max_bytes`. Errors: not_found, bad_file.
Json read_json(const std::filesystem::path& path, std::size_t max_bytes = kMaxConfigBytes);

/// Typed access to one JSON object's keys; every error names file, key, expected and actual. null
/// counts as absent, as in Hugging Face's configs.
class JsonObject {
 public:
  /// `json` must outlive this. Errors: bad_file when it is not an object.
  JsonObject(const Json& json, std::string file, std::string prefix = "");

  bool has(std::string_view key) const { return find(key) != nullptr; }
  const Json* find(std::string_view key) const;  ///< null when absent or JSON null

  // Optional values: nothing when absent; an error for another type or a value outside [low, high].
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t low,
                                      std::int64_t high) const;
  std::optional<double> number(std::string_view key, double low, double high) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::optional<JsonObject> object(std::string_view key) const;

  // Required values: an error also when absent.
  std::int64_t required_integer(std::string_view key, std::int64_t low, std::int64_t high) const;
  double required_number(std::string_view key, double low, double high) const;
  std::string required_string(std::string_view key) const;
  std::vector<std::int64_t> required_integers(std::string_view key, std::int64_t low,
                                              std::int64_t high) const;

  /// Errors: bad_file naming the first key that is none of these.
  void require_only(std::span<const std::string_view> known) const;

  /// Throws bad_file: "<file>: key '<key>': expected <expected>, got <the value, shortened>".
  [[noreturn]] void reject(std::string_view key, std::string_view expected) const;

  const Json& json() const { return *json_; }
  const std::string& file() const { return file_; }
  /// What errors put before a key: "quantization_config.".
  const std::string& prefix() const { return prefix_; }

 private:
  const Json* json_;
  std::string file_;
  std::string prefix_;
};

}  // namespace quern
