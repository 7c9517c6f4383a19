// A library to preload (LD_PRELOAD) that counts the calls of functions that can fail and lets one
// of them fail. run.py uses it.
//
// QUERN_FAULTS_RECORD=FILE writes a line for each distinct call stack of each function: the
// function, which of its calls it was, counted from 1, and the return addresses as MODULE+OFFSET.
// QUERN_FAULTS_FAIL=FUNCTION:N lets the N-th call of FUNCTION fail as a system without memory,
// descriptors, threads or working disks would; QUERN_FAULTS_HAPPENED=FILE is made when it did.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

struct Function {
  std::string_view name;
  int error = 0;  ///< the errno with which it fails
};
constexpr auto kFunctions = std::to_array<Function>({
    {"malloc", ENOMEM},
    {"calloc", ENOMEM},
    {"realloc", ENOMEM},
    {"aligned_alloc", ENOMEM},
    {"posix_memalign", ENOMEM},
    {"mmap", ENOMEM},
    {"open", EMFILE},
    {"openat", EMFILE},
    {"fopen", EMFILE},
    {"opendir", EMFILE},
    {"readdir", EIO},
    {"read", EIO},
    {"pread", EIO},
    {"readv", EIO},
    {"write", ENOSPC},
    {"writev", ENOSPC},
    {"fsync", EIO},
    {"close", EIO},
    {"rename", EIO},
    {"fstat", EIO},
    {"stat", EIO},
    {"lstat", EIO},
    {"statx", EIO},
    {"readlink", EIO},
    {"lseek", EIO},
    {"fcntl", EMFILE},
    {"access", EACCES},
    {"getrandom", EIO},
    {"pthread_create", EAGAIN},
});

consteval std::size_t index_of(std::string_view name) {
  std::size_t i = 0;
  while (kFunctions.at(i).name != name) ++i;
  return i;
}

constexpr int kMaxFrames = 64;
constexpr std::size_t kMaxStacks = std::size_t{1} << 18;

// State that must be there before any constructor runs: constant-initialised, no allocation.
std::array<std::atomic<std::uint64_t>, kFunctions.size()> num_calls;
std::array<std::uint64_t, kMaxStacks> stacks;  // hashes, open addressing; 0 is free
pthread_mutex_t stacks_mutex = PTHREAD_MUTEX_INITIALIZER;
int record_descriptor = -1;
std::size_t failing_function = kFunctions.size();
std::uint64_t failing_call = 0;
const char* happened_path = nullptr;
std::atomic<bool> main_has_begun = false;
int (*program_main)(int, char**, char**) = nullptr;
thread_local bool is_inside __attribute__((tls_model("initial-exec"))) = false;

struct Stack {
  std::array<std::uintptr_t, kMaxFrames> frames;
  int size = 0;
};

_Unwind_Reason_Code add_frame(_Unwind_Context* context, void* argument) {
  auto* stack = static_cast<Stack*>(argument);
  if (stack->size == kMaxFrames) return _URC_END_OF_STACK;
  stack->frames[static_cast<std::size_t>(stack->size++)] = _Unwind_GetIP(context);
  return _URC_NO_REASON;
}

/// Whether it is the first with these frames of this function.
bool is_new(std::size_t function, const Stack& stack) {
  std::uint64_t hash = 0xcbf29ce484222325u + function;
  for (int i = 0; i < stack.size; ++i) {
    hash = (hash ^ stack.frames[static_cast<std::size_t>(i)]) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  hash |= 1;
  for (std::size_t i = hash % kMaxStacks;; i = (i + 1) % kMaxStacks) {
    if (stacks[i] == hash) return false;
    if (stacks[i] != 0) continue;
    stacks[i] = hash;
    return true;
  }
}

void write_text(int descriptor, const char* text, std::size_t size) {
  while (size > 0) {
    const long count = ::syscall(SYS_write, descriptor, text, size);
    if (count <= 0) return;
    text += count;
    size -= static_cast<std::size_t>(count);
  }
}

void record_call(std::size_t function, std::uint64_t number) {
  Stack stack;
  _Unwind_Backtrace(add_frame, &stack);
  pthread_mutex_lock(&stacks_mutex);
  if (is_new(function, stack)) {
    std::array<char, 16384> line;
    int size = snprintf(line.data(), line.size(), "%s %llu", kFunctions[function].name.data(),
                        static_cast<unsigned long long>(number));
    for (int i = 2; i < stack.size && size < static_cast<int>(line.size()) - 300; ++i) {
      const std::uintptr_t address = stack.frames[static_cast<std::size_t>(i)];
      Dl_info info = {};
      if (::dladdr(reinterpret_cast<void*>(address), &info) == 0) continue;
      size +=
          snprintf(line.data() + size, line.size() - static_cast<std::size_t>(size), " %.200s+%zx",
                   info.dli_fname, address - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
    }
    line[static_cast<std::size_t>(size++)] = '\n';
    write_text(record_descriptor, line.data(), static_cast<std::size_t>(size));
  }
  pthread_mutex_unlock(&stacks_mutex);
}

/// Counts a call; true, with errno set, when it must fail.
bool must_fail(std::size_t function) {
  if (is_inside || !main_has_begun) return false;
  if (record_descriptor < 0 && failing_function != function) return false;
  const std::uint64_t number = ++num_calls[function];
  if (record_descriptor >= 0) {
    is_inside = true;
    const int error = errno;
    record_call(function, number);
    errno = error;
    is_inside = false;
    return false;
  }
  if (number != failing_call) return false;
  if (happened_path != nullptr) {
    const long descriptor =
        ::syscall(SYS_openat, AT_FDCWD, happened_path, O_CREAT | O_WRONLY, 0600);
    if (descriptor >= 0) ::syscall(SYS_close, descriptor);
  }
  errno = kFunctions[function].error;
  return true;
}

__attribute__((constructor)) void read_environment() {
  happened_path = ::getenv("QUERN_FAULTS_HAPPENED");
  if (const char* fail = ::getenv("QUERN_FAULTS_FAIL")) {
    const std::string_view text = fail;
    const std::size_t colon = text.find(':');
    failing_call = ::strtoull(fail + colon + 1, nullptr, 10);
    for (std::size_t i = 0; i < kFunctions.size(); ++i) {
      if (kFunctions[i].name == text.substr(0, colon)) failing_function = i;
    }
  } else if (const char* path = ::getenv("QUERN_FAULTS_RECORD")) {
    record_descriptor = static_cast<int>(::syscall(
        SYS_openat, AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  }
}

int begin_main(int argc, char** argv, char** environment) {
  main_has_begun = true;
  return program_main(argc, argv, environment);
}

template <typename Pointer>
Pointer next(const char* name) {
  is_inside = true;  // dlsym may allocate
  auto pointer = reinterpret_cast<Pointer>(::dlsym(RTLD_NEXT, name));
  is_inside = false;
  return pointer;
}

}  // namespace

extern "C" {

// What loader and static constructors allocate cannot be handled by the program.
int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv, void (*init)(),
                      void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  program_main = main;
  using Start =
      int (*)(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
  return next<Start>("__libc_start_main")(begin_main, argc, argv, init, fini, rtld_fini, stack_end);
}

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
  return must_fail(index_of("malloc")) ? nullptr : __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  return must_fail(index_of("calloc")) ? nullptr : __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  return must_fail(index_of("realloc")) ? nullptr : __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return must_fail(index_of("aligned_alloc")) ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  if (must_fail(index_of("posix_memalign"))) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}

// FAILS: a function that gives VALUE and errno when it fails; AS is its name among the functions
// above.
#define FAILS(as, type, name, parameters, arguments, value)   \
  type name parameters {                                      \
    static const auto real = next<type(*) parameters>(#name); \
    return must_fail(index_of(#as)) ? value : real arguments; \
  }

FAILS(mmap, void*, mmap,
      (void* at, std::size_t size, int protection, int flags, int fd, off_t offset),
      (at, size, protection, flags, fd, offset), MAP_FAILED)
FAILS(mmap, void*, mmap64,
      (void* at, std::size_t size, int protection, int flags, int fd, off_t offset),
      (at, size, protection, flags, fd, offset), MAP_FAILED)
FAILS(fopen, FILE*, fopen, (const char* path, const char* mode), (path, mode), nullptr)
FAILS(fopen, FILE*, fopen64, (const char* path, const char* mode), (path, mode), nullptr)
FAILS(opendir, DIR*, opendir, (const char* path), (path), nullptr)
FAILS(readdir, dirent*, readdir, (DIR * folder), (folder), nullptr)
FAILS(read, ssize_t, read, (int fd, void* out, std::size_t size), (fd, out, size), -1)
FAILS(pread, ssize_t, pread, (int fd, void* out, std::size_t size, off_t at), (fd, out, size, at),
      -1)
FAILS(pread, ssize_t, pread64, (int fd, void* out, std::size_t size, off_t at), (fd, out, size, at),
      -1)
FAILS(readv, ssize_t, readv, (int fd, const iovec* parts, int count), (fd, parts, count), -1)
FAILS(write, ssize_t, write, (int fd, const void* bytes, std::size_t size), (fd, bytes, size), -1)
FAILS(writev, ssize_t, writev, (int fd, const iovec* parts, int count), (fd, parts, count), -1)
FAILS(fsync, int, fsync, (int fd), (fd), -1)
FAILS(rename, int, rename, (const char* from, const char* to), (from, to), -1)
FAILS(fstat, int, fstat, (int fd, struct stat* out), (fd, out), -1)
FAILS(fstat, int, fstat64, (int fd, struct stat64* out), (fd, out), -1)
FAILS(stat, int, stat, (const char* path, struct stat* out), (path, out), -1)
FAILS(stat, int, stat64, (const char* path, struct stat64* out), (path, out), -1)
FAILS(lstat, int, lstat, (const char* path, struct stat* out), (path, out), -1)
FAILS(lstat, int, lstat64, (const char* path, struct stat64* out), (path, out), -1)
FAILS(statx, int, statx, (int fd, const char* path, int flags, unsigned mask, struct statx* out),
      (fd, path, flags, mask, out), -1)
FAILS(readlink, ssize_t, readlink, (const char* path, char* out, std::size_t size),
      (path, out, size), -1)
FAILS(lseek, off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence), -1)
FAILS(lseek, off_t, lseek64, (int fd, off_t offset, int whence), (fd, offset, whence), -1)
FAILS(access, int, access, (const char* path, int mode), (path, mode), -1)
FAILS(getrandom, ssize_t, getrandom, (void* out, std::size_t size, unsigned flags),
      (out, size, flags), -1)
FAILS(pthread_create, int, pthread_create,
      (pthread_t * thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument),
      (thread, attributes, body, argument), EAGAIN)

// The descriptor is closed all the same, as Linux does.
int close(int fd) {
  static const auto real = next<int (*)(int)>("close");
  const bool fails = must_fail(index_of("close"));
  const int error = errno;
  const int result = real(fd);
  if (!fails) return result;
  errno = error;
  return -1;
}

#define OPENS(name)                                                                      \
  int name(const char* path, int flags, ...) {                                           \
    static const auto real = next<int (*)(const char*, int, ...)>(#name);                \
    va_list rest;                                                                        \
    va_start(rest, flags);                                                               \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                                        \
    return must_fail(index_of("open")) ? -1 : real(path, flags, mode);                   \
  }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                   \
  int name(int folder, const char* path, int flags, ...) {                               \
    static const auto real = next<int (*)(int, const char*, int, ...)>(#name);           \
    va_list rest;                                                                        \
    va_start(rest, flags);                                                               \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                                        \
    return must_fail(index_of("openat")) ? -1 : real(folder, path, flags, mode);         \
  }
OPENS_AT(openat)
OPENS_AT(openat64)

int fcntl(int fd, int command, ...) {
  static const auto real = next<int (*)(int, int, ...)>("fcntl");
  va_list rest;
  va_start(rest, command);
  void* argument = va_arg(rest, void*);
  va_end(rest);
  return must_fail(index_of("fcntl")) ? -1 : real(fd, command, argument);
}
int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));

}  // extern "C"
