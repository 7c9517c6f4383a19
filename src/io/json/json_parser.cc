#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/text/utf8.h"
#include "io/json/json.h"

namespace quern {
namespace {

constexpr int kMaxDepth = 100;
constexpr std::size_t kFreeBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxGrowth = 10;  ///< bytes of the document for each byte of the text

// What parts of a Json take with the allocator's overhead, from above; a vector grows by doubling
// and holds the old elements meanwhile.
constexpr std::size_t kContainerCost = 80;
constexpr std::size_t kElementCost = 3 * sizeof(Json);
constexpr std::size_t kMemberCost = 112;
constexpr std::size_t kStringCost = 48;

/// Builds the document from the events of nlohmann's parser and shows them to the filter as the
/// library's own callback parser does, which takes quadratic time over objects.
class DocumentBuilder {
 public:
  DocumentBuilder(std::string_view text, const std::string& file, const JsonFilter& filter,
                  DuplicateKeys duplicates)
      : file_(file),
        filter_(filter),
        duplicates_(duplicates),
        budget_bytes_(kFreeBytes + kMaxGrowth * text.size()) {}

  Json take() { return std::move(root_); }
  const std::string& parse_failure() const { return failure_; }

  bool null() { return scalar(Json(nullptr)); }
  bool boolean(bool value) { return scalar(Json(value)); }
  bool number_integer(Json::number_integer_t value) { return scalar(Json(value)); }
  bool number_unsigned(Json::number_unsigned_t value) { return scalar(Json(value)); }
  bool number_float(Json::number_float_t value, const std::string& /*text*/) {
    return scalar(Json(value));
  }
  bool string(std::string& value) {
    const std::size_t bytes = kStringCost + value.size();
    return scalar(Json(std::move(value)), bytes);
  }
  bool binary(Json::binary_t& /*value*/) { return false; }  // no JSON has one

  bool start_object(std::size_t /*size*/) { return start(Event::object_start, Json::object()); }
  bool start_array(std::size_t /*size*/) { return start(Event::array_start, Json::array()); }
  bool end_object() { return end(Event::object_end); }
  bool end_array() { return end(Event::array_end); }

  bool key(std::string& name) {
    Level& level = levels_.back();
    level.member = nullptr;
    std::string own = std::move(name);
    if (filter_) {
      Json shown(std::move(own));
      if (!filter_(depth(), Event::key, shown)) return true;
      own = std::move(shown.get_ref<std::string&>());
    }
    if (level.container == nullptr) return true;
    charge(kMemberCost + own.size());
    // Not null, so that a value that the filter takes out leaves no key behind.
    const auto [member, is_new] =
        level.container->emplace(std::move(own), Json(Json::value_t::discarded));
    if (!is_new && duplicates_ == DuplicateKeys::refused) {
      fail(ErrorCode::bad_file, "{}: duplicate key {}", file_, quoted_name(member.key()));
    }
    level.member = &*member;
    *level.member = Json(Json::value_t::discarded);
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::json::exception& error) {
    failure_ = error.what();
    return false;
  }

 private:
  using Event = Json::parse_event_t;

  /// An object or list that is open. What is in one that was taken out (container is null) goes on
  /// being shown, unless its very start was refused.
  struct Level {
    Json* container = nullptr;
    bool is_shown = true;
    Json* member = nullptr;        ///< where the value of the last key goes
    bool has_discarded = false;    ///< members whose values were taken out
    std::size_t budget_bytes = 0;  ///< before it began
  };

  int depth() const { return static_cast<int>(levels_.size()); }

  void charge(std::size_t bytes) {
    if (bytes > budget_bytes_) {
      fail(ErrorCode::bad_file, "{}: expected a document of at most {} times its text in memory",
           file_, kMaxGrowth);
    }
    budget_bytes_ -= bytes;
  }

  /// Where a value at this point of the text goes, or null when it is not kept.
  Json* place(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = levels_.back();
    if (level.container == nullptr) return nullptr;
    if (level.container->is_array()) {
      charge(kElementCost);
      level.container->push_back(std::move(value));
      return &level.container->back();
    }
    if (level.member == nullptr) return nullptr;
    *level.member = std::move(value);
    return level.member;
  }

  bool scalar(Json value, std::size_t bytes = 0) {
    const bool is_shown = levels_.empty() || levels_.back().is_shown;
    if (!is_shown) return true;
    if (filter_ && !filter_(depth(), Event::value, value)) {
      drop_member();
      return true;
    }
    charge(bytes);
    place(std::move(value));
    return true;
  }

  bool start(Event event, Json container) {
    if (depth() >= kMaxDepth) {
      fail(ErrorCode::bad_file, "{}: nested deeper than {} levels", file_, kMaxDepth);
    }
    Level level;
    level.budget_bytes = budget_bytes_;
    if (filter_) {
      Json nothing(Json::value_t::discarded);
      level.is_shown = filter_(depth(), event, nothing);
    }
    if (level.is_shown) {
      charge(kContainerCost);
      level.container = place(std::move(container));
    } else {
      drop_member();
    }
    levels_.push_back(level);
    return true;
  }

  bool end(Event event) {
    const Level ended = levels_.back();
    levels_.pop_back();
    if (ended.container == nullptr) return true;
    if (ended.has_discarded) erase_discarded(*ended.container);
    if (!filter_ || filter_(depth(), event, *ended.container)) return true;
    // Taken out after the fact, once all of it was seen.
    budget_bytes_ = ended.budget_bytes;
    if (levels_.empty()) {
      root_ = Json();
    } else if (levels_.back().container->is_array()) {
      levels_.back().container->erase(levels_.back().container->size() - 1);
    } else {
      *ended.container = Json(Json::value_t::discarded);
      levels_.back().has_discarded = true;
    }
    return true;
  }

  void drop_member() {
    if (!levels_.empty() && levels_.back().member != nullptr) levels_.back().has_discarded = true;
  }

  /// Once for each object, so that time stays linear.
  static void erase_discarded(Json& object) {
    for (auto it = object.begin(); it != object.end();) {
      it = it->is_discarded() ? object.erase(it) : std::next(it);
    }
  }

  const std::string& file_;
  const JsonFilter& filter_;
  DuplicateKeys duplicates_;
  std::size_t budget_bytes_;
  Json root_;
  std::vector<Level> levels_;
  std::string failure_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& file, const JsonFilter& filter,
                DuplicateKeys duplicates) {
  // The parser stops at a zero byte and would ignore what follows.
  if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
    fail(ErrorCode::bad_file, "{}: not valid JSON: a zero byte at offset {}", file, zero);
  }
  DocumentBuilder builder(text, file, filter, duplicates);
  if (Json::sax_parse(text, &builder)) return builder.take();
  constexpr std::size_t kMaxReasonBytes = 200;  // it quotes the last token, of any length
  std::string reason = replace_invalid_utf8(builder.parse_failure());
  if (const auto end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
  fail(ErrorCode::bad_file, "{}: not valid JSON: {}", file,
       shortened_text(reason, kMaxReasonBytes));
}

}  // namespace quern
