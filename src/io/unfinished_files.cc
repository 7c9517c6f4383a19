#include "io/unfinished_files.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>

#include "quern/output_file.h"

namespace quern {
namespace {

enum class SlotState : int { free, changing, in_use };

struct Slot {
  std::atomic<SlotState> state = SlotState::free;
  std::array<char, 4096> path{};
};
static_assert(std::atomic<SlotState>::is_always_lock_free, "a signal handler reads it");

// A signal handler can reach nothing but a global.
std::array<Slot, 16> slots;  // NOLINT

}  // namespace

int note_unfinished_file(const std::filesystem::path& path) noexcept {
  const std::string& name = path.native();
  if (name.size() >= slots[0].path.size()) return -1;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    SlotState expected = SlotState::free;
    if (!slots[i].state.compare_exchange_strong(expected, SlotState::changing)) continue;
    std::memcpy(slots[i].path.data(), name.c_str(), name.size() + 1);
    slots[i].state = SlotState::in_use;
    return static_cast<int>(i);
  }
  return -1;
}

void forget_unfinished_file(int slot) noexcept {
  if (slot >= 0) slots[static_cast<std::size_t>(slot)].state = SlotState::free;
}

void remove_unfinished_files() noexcept {
  for (Slot& slot : slots) {
    if (slot.state == SlotState::in_use) ::unlink(slot.path.data());
  }
}

}  // namespace quern
