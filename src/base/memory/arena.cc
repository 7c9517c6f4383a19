#include "base/memory/arena.h"

#include <utility>

#include "base/memory/shape.h"

namespace quern {

Arena::Arena(std::string name, Buffer buffer)
    : name_(std::move(name)), buffer_(std::move(buffer)) {}

std::byte* Arena::take(std::size_t size_bytes) {
  const std::size_t begin = align_up(used_bytes_, kAlignment);
  QUERN_CHECK(begin <= buffer_.size_bytes() && size_bytes <= buffer_.size_bytes() - begin,
              "the {} arena of {} bytes has {} in use, and {} more were asked for", name_,
              buffer_.size_bytes(), used_bytes_, size_bytes);
  used_bytes_ = begin + size_bytes;
  return buffer_.data() + begin;
}

}  // namespace quern
