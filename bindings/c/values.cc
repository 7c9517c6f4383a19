#include "bindings/c/values.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "bindings/c/failure.h"
#include "quern/error.h"
#include "quern/log.h"
#include "quern/version.h"

namespace quern::c {

void check_enum(std::int32_t value, std::int32_t last, const char* field) {
  if (value < 0 || value > last) {
    throw Error(ErrorCode::invalid_argument,
                std::string("'") + field + "': expected a number from 0 to " +
                    std::to_string(last) + ", got " + std::to_string(value));
  }
}

std::optional<bool> choice_of(quern_choice choice, const char* field) {
  check_enum(choice, QUERN_OFF, field);
  if (choice == QUERN_DEFAULT) return std::nullopt;
  return choice == QUERN_ON;
}

std::optional<DType> dtype_of(quern_dtype dtype, const char* field) {
  check_enum(dtype, QUERN_UINT4, field);
  if (dtype == QUERN_DTYPE_DEFAULT) return std::nullopt;
  return static_cast<DType>(dtype - 1);
}

quern_dtype dtype_to_c(std::optional<DType> dtype) {
  return dtype ? static_cast<quern_dtype>(*dtype) + 1 : QUERN_DTYPE_DEFAULT;
}

static_assert(static_cast<int>(DType::float32) + 1 == QUERN_FLOAT32 &&
              static_cast<int>(DType::bfloat16) + 1 == QUERN_BFLOAT16 &&
              static_cast<int>(DType::uint8) + 1 == QUERN_UINT8 &&
              static_cast<int>(DType::uint4) + 1 == QUERN_UINT4);

char* copy_text(std::string_view text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

std::int32_t* copy_ids(std::span<const std::int32_t> ids) {
  auto* copy = static_cast<std::int32_t*>(std::malloc(ids.size_bytes() + 1));  // never NULL
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, ids.data(), ids.size_bytes());
  return copy;
}

}  // namespace quern::c

extern "C" {

const char* quern_status_name(quern_status status) {
  static constexpr const char* kNames[] = {
      "ok",     "invalid_argument", "not_found",   "bad_file", "unsupported", "out_of_memory",
      "device", "queue_full",       "unavailable", "internal", "stopped"};
  return status >= QUERN_OK && status <= QUERN_STOPPED ? kNames[status] : "unknown";
}

uint32_t quern_abi_version(void) { return QUERN_ABI_VERSION; }
const char* quern_version(void) { return quern::version(); }
const char* quern_commit(void) { return quern::commit(); }

void quern_free(void* memory) { std::free(memory); }

quern_status quern_set_log_sink(quern_log_sink sink, void* user_data) {
  return quern::c::guarded([&] {
    if (sink == nullptr) {
      quern::set_log_sink({});
      return;
    }
    quern::set_log_sink([sink, user_data](quern::LogLevel level, std::string_view message) {
      sink(user_data, static_cast<quern_log_level>(level), std::string(message).c_str());
    });
  });
}

}  // extern "C"
