#include "tools/quality/perplexity/reference_logits.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/quality/engine_spec.h"

namespace quern::tools {
namespace {

constexpr const char* kLogits = "logits";
constexpr const char* kTokenIds = "token_ids";
constexpr const char* kSettings = "window_and_stride";

std::array<std::int32_t, 2> stored_settings(const JudgedText& text) {
  return {static_cast<std::int32_t>(text.settings.window),
          static_cast<std::int32_t>(text.settings.stride)};
}

std::vector<std::int64_t> logits_shape(const JudgedText& text) {
  const auto windows = sliding_windows(text.ids.size(), text.settings);
  return {static_cast<std::int64_t>(count_scored(windows)), text.vocab_size};
}

std::vector<SafetensorsSpec> file_layout(const JudgedText& text) {
  return {{kTokenIds, DType::int32, {std::ssize(text.ids)}},
          {kSettings, DType::int32, {std::ssize(stored_settings(text))}},
          {kLogits, DType::float32, logits_shape(text)}};
}

/// "[10, 2048]"
std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

class EngineLogits : public ReferenceLogits {
 public:
  EngineLogits(const std::string& model, const EngineOptions& options, const JudgedText& text)
      : engine_(Engine::load(model, options)), text_(&text) {
    if (engine_.info().vocab_size != text.vocab_size) {
      fail(ErrorCode::invalid_argument, "{}: expected a vocabulary of {} to compare with, got {}",
           engine_.info().folder.string(), text.vocab_size, engine_.info().vocab_size);
    }
  }

  std::span<const float> rows(const Window& window) override {
    rows_.clear();
    const auto ids = std::span(text_->ids).subspan(window.begin, window.end - window.begin);
    engine_.logits(ids, window.first_scored - 1 - window.begin, [&](std::span<const float> rows) {
      rows_.insert(rows_.end(), rows.begin(), rows.end());
    });
    rows_.resize(window.num_scored() * static_cast<std::size_t>(text_->vocab_size));
    return rows_;
  }

  std::string name() const override { return engine_name(engine_.options()); }

 private:
  Engine engine_;
  const JudgedText* text_;
  std::vector<float> rows_;
};

class SavedLogits : public ReferenceLogits {
 public:
  SavedLogits(const std::filesystem::path& path, const JudgedText& text)
      : file_(SafetensorsFile::open(path)) {
    const auto layout = file_layout(text);
    const auto settings = stored_settings(text);
    require_same(entry(layout[1]), std::as_bytes(std::span(settings)), "window and stride");
    require_same(entry(layout[0]), std::as_bytes(std::span(text.ids)), "the tokens");
    logits_ = &entry(layout[2]);
    row_bytes_ = static_cast<std::size_t>(text.vocab_size) * sizeof(float);
  }

  std::span<const float> rows(const Window& window) override {
    rows_.resize(window.num_scored() * row_bytes_ / sizeof(float));
    const auto bytes = std::as_writable_bytes(std::span(rows_));
    file_.read(*logits_, read_bytes_, bytes);
    read_bytes_ += bytes.size();
    return rows_;
  }

  std::string name() const override { return file_.path().string(); }

 private:
  const SafetensorsEntry& entry(const SafetensorsSpec& wanted) const {
    const auto& entries = file_.entries();
    const auto found = std::find_if(entries.begin(), entries.end(),
                                    [&](const auto& one) { return one.name == wanted.name; });
    if (found == entries.end()) {
      fail(ErrorCode::bad_file, "{}: expected a tensor '{}', got none", file_.path().string(),
           wanted.name);
    }
    if (parse_safetensors_dtype(found->stored_type) != wanted.dtype ||
        found->shape != wanted.shape) {
      fail(ErrorCode::bad_file, "{}: tensor '{}': expected {} {} for this text, got {} {}",
           file_.path().string(), wanted.name, dtype_name(wanted.dtype), shape_text(wanted.shape),
           found->stored_type, shape_text(found->shape));
    }
    return *found;
  }

  void require_same(const SafetensorsEntry& found, std::span<const std::byte> expected,
                    const char* what) const {
    if (std::ranges::equal(file_.read(found), expected)) return;
    fail(ErrorCode::bad_file, "{}: tensor '{}': expected {} of this run, got others",
         file_.path().string(), found.name, what);
  }

  SafetensorsFile file_;
  const SafetensorsEntry* logits_ = nullptr;
  std::uint64_t read_bytes_ = 0;
  std::size_t row_bytes_ = 0;
  std::vector<float> rows_;
};

}  // namespace

std::unique_ptr<ReferenceLogits> engine_logits(const std::string& model,
                                               const EngineOptions& options,
                                               const JudgedText& text) {
  return std::make_unique<EngineLogits>(model, options, text);
}

std::unique_ptr<ReferenceLogits> saved_logits(const std::filesystem::path& path,
                                              const JudgedText& text) {
  return std::make_unique<SavedLogits>(path, text);
}

LogitsWriter::LogitsWriter(const std::filesystem::path& path, const JudgedText& text)
    : stream_(path, file_layout(text)) {
  const auto settings = stored_settings(text);
  stream_.write(std::as_bytes(std::span(text.ids)));
  stream_.write(std::as_bytes(std::span(settings)));
}

}  // namespace quern::tools
