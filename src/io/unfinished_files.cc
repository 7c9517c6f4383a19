#include "io/unfinished_files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
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

constexpr int kMaxDepth = 2;  ///< of folders in a folder

// A signal handler can reach nothing but a global.
std::array<Slot, 16> slots;  // NOLINT

/// What getdents64 writes for each entry of a folder: readdir() may allocate, which a signal
/// handler must not. Source: getdents(2).
struct FolderEntry {
  std::uint64_t inode;
  std::int64_t next;
  unsigned short length;
  unsigned char type;
  char name[1];  // NOLINT
};

/// Removes what is in an open folder, folders of it down to `depth`. Async-signal-safe.
void remove_entries(int folder, int depth) noexcept {
  alignas(FolderEntry) std::array<char, 4096> entries;
  for (bool has_removed = true; has_removed;) {
    // Removals may hide entries from a listing that goes on: it is begun anew.
    has_removed = false;
    ::lseek(folder, 0, SEEK_SET);
    for (;;) {
      const long count = ::syscall(SYS_getdents64, folder, entries.data(), entries.size());
      if (count <= 0) break;
      for (long at = 0; at < count;) {
        const auto* entry = reinterpret_cast<const FolderEntry*>(entries.data() + at);
        const char* name = entry->name;
        at += entry->length;
        if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
        if (::unlinkat(folder, name, 0) == 0) {
          has_removed = true;
        } else if (depth > 0) {
          const int inner = ::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
          if (inner < 0) continue;
          remove_entries(inner, depth - 1);
          ::close(inner);
          has_removed = ::unlinkat(folder, name, AT_REMOVEDIR) == 0 || has_removed;
        }
      }
    }
  }
}

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
    if (slot.state != SlotState::in_use || ::unlink(slot.path.data()) == 0) continue;
    const int folder = ::open(slot.path.data(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) continue;
    remove_entries(folder, kMaxDepth);
    ::close(folder);
    ::rmdir(slot.path.data());
  }
}

}  // namespace quern
