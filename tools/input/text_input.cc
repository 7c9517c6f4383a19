#include "tools/input/text_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

/// A pipe, a terminal, a socket: what has no size and is read once.
bool is_stream(const std::string& file) {
  struct stat status = {};
  if (::stat(file.c_str(), &status) != 0) return false;
  return !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

class Descriptor {
 public:
  /// Waits for a pipe's writer.
  explicit Descriptor(const std::string& file)
      : value_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (value_ >= 0) return;
    fail(ErrorCode::bad_file, "{}: cannot open: {}", file, std::generic_category().message(errno));
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int value() const { return value_; }

 private:
  int value_;
};

/// Nothing for what the library reads better: a regular file, or what is not there.
std::unique_ptr<const std::string> read_stream(const std::string& file) {
  if (file == kStdinName) {
    return std::make_unique<std::string>(read_to_end(kStdin, input_name(file)));
  }
  if (!is_stream(file)) return nullptr;
  const Descriptor descriptor(file);
  return std::make_unique<std::string>(read_to_end(descriptor.value(), file));
}

}  // namespace

std::string input_name(const std::string& file) {
  return file == kStdinName ? "standard input" : file;
}

InputBytes::InputBytes(const std::string& file) : read_(read_stream(file)) {
  if (!read_) file_ = std::make_unique<const OpenFile>(file);
}

std::string InputBytes::read(std::size_t count) {
  const std::uint64_t size = read_ ? read_->size() : file_->size_bytes();
  const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, size - position_));
  std::string bytes = read_ ? read_->substr(static_cast<std::size_t>(position_), part)
                            : file_->read_text(position_, part);
  position_ += part;
  return bytes;
}

void reject_stdin_twice(std::initializer_list<InputOption> inputs) {
  const InputOption* first = nullptr;
  for (const InputOption& input : inputs) {
    if (input.file != kStdinName) continue;
    if (first != nullptr) {
      usage_error("{} - and {} -: standard input can be read once", first->option, input.option);
    }
    first = &input;
  }
}

std::string read_to_end(int descriptor, const std::string& source) {
  std::string text;
  std::array<char, 65536> chunk{};
  while (true) {
    const ssize_t count = ::read(descriptor, chunk.data(), chunk.size());
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) continue;
      fail(ErrorCode::bad_file, "{}: cannot read: {}", source,
           std::generic_category().message(errno));
    }
    text.append(chunk.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxTextBytes) {
      fail(ErrorCode::bad_file, "{}: expected at most {} bytes, got more", source, kMaxTextBytes);
    }
  }
}

void require_utf8(std::string_view text, const std::string& source) {
  if (const auto offset = invalid_utf8_at(text)) {
    fail(ErrorCode::bad_file, "{}: expected UTF-8, got another byte at offset {}", source, *offset);
  }
}

std::string read_utf8_file(const std::string& file) {
  const auto read = read_stream(file);
  std::string text = read ? *read : read_text_file(file, kMaxTextBytes);
  require_utf8(text, input_name(file));
  return text;
}

}  // namespace quern::tools
