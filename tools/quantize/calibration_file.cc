#include "tools/quantize/calibration_file.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "quern/chat.h"
#include "quern/files.h"
#include "quern/quantize.h"
#include "quern/tokenizer.h"
#include "tools/chat/messages_file.h"
#include "tools/cli/fail.h"
#include "tools/generation/prompt_records.h"
#include "tools/input/text_input.h"

namespace quern::tools {
namespace {

using Ids = std::vector<std::int32_t>;

/// The ids of texts, one after the other, cut into windows.
class Windows {
 public:
  Windows(const std::filesystem::path& folder, std::size_t window)
      : folder_(folder), tokenizer_(Tokenizer::load(folder)), window_(window) {
    const Ids of_nothing = tokenizer_->encode("");
    const auto bos = tokenizer_->bos_id();
    if (bos && !of_nothing.empty() && of_nothing.front() == *bos) bos_ = {*bos};
  }

  void add_text(const std::string& text) {
    EncodeOptions without_bos;
    without_bos.add_bos = false;
    add(tokenizer_->encode(text, without_bos), bos_);
  }
  void add_ids(const Ids& ids) { add(ids, {}); }
  void add_messages(const std::string& messages) {
    if (!template_) template_ = ChatTemplate::load(folder_, std::nullopt, false);
    ChatInput input;
    input.messages = messages;
    add(template_->encode(*tokenizer_, template_->render(input)), {});
  }

  const std::vector<Ids>& all() const { return windows_; }

 private:
  void add(const Ids& ids, const Ids& prefix) {
    const std::size_t room = window_ - prefix.size();
    for (std::size_t first = 0; first < ids.size(); first += room) {
      Ids window = prefix;
      const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
      window.insert(window.end(), begin,
                    begin + static_cast<std::ptrdiff_t>(std::min(room, ids.size() - first)));
      windows_.push_back(std::move(window));
    }
  }

  std::filesystem::path folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
  Ids bos_;
  std::size_t window_;
  std::vector<Ids> windows_;
};

std::size_t num_tokens_of(const std::vector<Ids>& windows) {
  std::size_t count = 0;
  for (const Ids& window : windows) count += window.size();
  return count;
}

/// At most max_tokens, of windows at even distances.
std::vector<Ids> take_evenly(const std::vector<Ids>& windows, std::size_t max_tokens) {
  const std::size_t num_tokens = num_tokens_of(windows);
  if (num_tokens <= max_tokens) return windows;
  std::vector<Ids> taken;
  std::size_t num_seen = 0;
  std::size_t num_taken = 0;
  for (const Ids& window : windows) {
    // Taken while behind this share of what was seen.
    const double share = static_cast<double>(max_tokens) / static_cast<double>(num_tokens);
    if (static_cast<double>(num_taken) <= share * static_cast<double>(num_seen)) {
      taken.push_back(window);
      taken.back().resize(std::min(window.size(), max_tokens - num_taken));
      num_taken += taken.back().size();
    }
    num_seen += window.size();
    if (num_taken == max_tokens) break;
  }
  return taken;
}

}  // namespace

std::vector<Ids> read_calibration(const CalibrationSource& source) {
  const std::string name = input_name(source.file);
  const std::string text = read_utf8_file(source.file);
  Windows windows(find_model_folder(source.model), source.window);
  if (source.file.ends_with(".jsonl")) {
    for (const Prompt& prompt : parse_prompt_lines(text, name, true)) {
      if (!prompt.messages.empty()) {
        windows.add_messages(prompt.messages);
      } else if (!prompt.ids.empty()) {
        windows.add_ids(prompt.ids);
      } else {
        windows.add_text(prompt.text);
      }
    }
  } else {
    windows.add_text(text);
  }
  const std::size_t num_tokens = num_tokens_of(windows.all());
  if (num_tokens < kMinCalibrationTokens) {
    fail(ErrorCode::bad_file, "{}: expected at least {} tokens for calibration, got {}", name,
         kMinCalibrationTokens, num_tokens);
  }
  return take_evenly(windows.all(), source.max_tokens);
}

}  // namespace quern::tools
