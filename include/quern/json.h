#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/export.h"

namespace quern {

/// A JSON object from outside, for programs that read records and options: limits hold before
/// anything is allocated by them, and every error names source, key, expected and actual. A key
/// whose value is null counts as absent. Copies are cheap; they share the document.
class QUERN_API JsonRecord {
 public:
  /// Parses a text: UTF-8, one object and nothing after it, no key twice in an object, at most 100
  /// levels deep. `source` is what errors call the text.
  /// Cost: time n log n; memory of at most 10 times the text and 64 MiB, or it is an error.
  /// Errors: bad_file with the place.
  static JsonRecord parse(std::string_view text, std::string source);

  /// A record of texts, of a CSV file say. They must be UTF-8.
  static JsonRecord of_texts(const std::map<std::string, std::string>& texts, std::string source);

  const std::string& source() const;
  std::vector<std::string> keys() const;  ///< all of them, sorted
  bool has(std::string_view key) const;
  std::string text() const;  ///< the object as JSON on one line

  // Nothing when absent. Errors: bad_file for another type or a value out of [low, high].
  std::optional<std::uint64_t> unsigned_integer(std::string_view key, std::uint64_t low,
                                                std::uint64_t high) const;
  std::optional<double> number(std::string_view key, double low, double high) const;
  std::optional<std::string> string(std::string_view key) const;
  /// A text or a list of texts, none of them empty.
  std::optional<std::vector<std::string>> strings(std::string_view key) const;
  /// A list of integers from 0 to 2^31 - 1.
  std::optional<std::vector<std::int32_t>> token_ids(std::string_view key) const;
  std::optional<JsonRecord> object(std::string_view key) const;

  // The same, and bad_file when absent.
  double required_number(std::string_view key, double low, double high) const;
  std::string required_string(std::string_view key) const;

  /// Errors: bad_file naming the first key that is none of these, and these.
  void require_only(std::span<const std::string_view> known) const;

  /// Throws bad_file: "<source>: key '<key>': expected <expected>, got <the value, shortened>".
  [[noreturn]] void reject(std::string_view key, std::string_view expected) const;

 private:
  struct Held;
  explicit JsonRecord(std::shared_ptr<const Held> held) : held_(std::move(held)) {}

  std::shared_ptr<const Held> held_;
};

}  // namespace quern
