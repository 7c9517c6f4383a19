#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/memory/arena.h"
#include "base/memory/buffer.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

TEST(Buffer, IsAlignedAndZero) {
  for (const std::size_t size_bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}}) {
    const Buffer buffer = allocate_host(size_bytes, "test");
    EXPECT_EQ(buffer.size_bytes(), size_bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64, 0u);
    const auto bytes = buffer.bytes();
    EXPECT_TRUE(
        std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; }));
  }
}

TEST(Buffer, MovesAndReleasesOnce) {
  int released = 0;
  std::byte memory[4] = {};
  const auto make = [&] { return Buffer(memory, 4, Device{}, [&](std::byte*) { ++released; }); };
  {
    Buffer first = make();
    Buffer second = std::move(first);
    EXPECT_EQ(first.data(), nullptr);  // NOLINT(bugprone-use-after-move): what is left is defined
    EXPECT_EQ(first.size_bytes(), 0u);
    EXPECT_EQ(second.data(), memory);
    EXPECT_EQ(released, 0);
    second = make();
    EXPECT_EQ(released, 1) << "assignment gives the old memory back";
    Buffer& self = second;
    second = std::move(self);
    EXPECT_EQ(second.data(), memory) << "moving to itself keeps it";
  }
  EXPECT_EQ(released, 2);
}

TEST(Buffer, AllocationThatCannotBeIsNamed) {
  EXPECT_QUERN_ERROR(ErrorCode::out_of_memory, ({"weights", "cannot allocate"}),
                     allocate_host(SIZE_MAX, "weights"));
}

TEST(Arena, PiecesAreAlignedAndApart) {
  Arena arena("test", allocate_host(1024, "test"));
  std::byte* first = arena.take(1);
  std::byte* second = arena.take(300);
  EXPECT_EQ(first, arena.buffer().data());
  EXPECT_EQ(second - first, std::ptrdiff_t{Arena::kAlignment});
  EXPECT_EQ(arena.used_bytes(), 556u);
  const auto floats = arena.take_array<float>(64);
  EXPECT_EQ(floats.size(), 64u);
  EXPECT_EQ(reinterpret_cast<std::byte*>(floats.data()) - first, 768);
  EXPECT_EQ(arena.used_bytes(), 1024u);
}

TEST(Arena, RunningOutIsABug) {
  Arena arena("activations", allocate_host(512, "test"));
  arena.take(256);
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"activations arena of 512 bytes", "257 more"}),
                     arena.take(257));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"activations"}), arena.take(SIZE_MAX));
  EXPECT_EQ(arena.take(256), arena.buffer().data() + 256) << "a refusal takes nothing";
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"activations"}), arena.take(1));
}

TEST(Arena, CountThatOverflowsIsABug) {
  Arena arena("activations", allocate_host(512, "test"));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"check failed"}),
                     arena.take_array<std::uint64_t>(SIZE_MAX / 8 + 2));
}

}  // namespace
}  // namespace quern
