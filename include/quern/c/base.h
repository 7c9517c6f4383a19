/* Part of quern/quern.h: status codes, strings, errors, log, versions. */
#ifndef QUERN_C_BASE_H
#define QUERN_C_BASE_H

#include <stddef.h>
#include <stdint.h>

#define QUERN_C_API __attribute__((visibility("default")))

/** The ABI that this header describes. */
#define QUERN_ABI_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t quern_status;
enum {
  QUERN_OK = 0,
  QUERN_INVALID_ARGUMENT = 1, /**< an impossible option, prompt, id or pointer */
  QUERN_NOT_FOUND = 2,        /**< a file, folder or model is not there */
  QUERN_BAD_FILE = 3,         /**< a file is broken or contradicts another */
  QUERN_UNSUPPORTED = 4,      /**< well-formed, but not supported by this version */
  QUERN_OUT_OF_MEMORY = 5,    /**< the plan or an allocation does not fit */
  QUERN_DEVICE = 6,           /**< a device, driver or device library failed */
  QUERN_QUEUE_FULL = 7,       /**< too many requests wait */
  QUERN_UNAVAILABLE = 8,      /**< not ready, or no longer */
  QUERN_INTERNAL = 9,         /**< a broken precondition inside Quern: a bug */
  QUERN_STOPPED = 10          /**< a callback of the caller ended the call */
};

/** "ok", "invalid_argument", …; "unknown" for another number. */
QUERN_C_API const char* quern_status_name(quern_status status);

/** The message of the last call of this thread that failed; "" before. Valid until the next. */
QUERN_C_API const char* quern_last_error(void);

/** QUERN_ABI_VERSION of the library; other than the header's, nothing may be called. */
QUERN_C_API uint32_t quern_abi_version(void);
/** The library's semantic version, such as "0.1.0", and the commit it was built from. */
QUERN_C_API const char* quern_version(void);
QUERN_C_API const char* quern_commit(void);

/** Text in UTF-8, with its length. Outputs have a NUL behind `size` bytes; inputs need none. */
typedef struct quern_string {
  const char* data; /**< may be NULL where size is 0 */
  size_t size;      /**< bytes */
} quern_string;

/** Values that may be unset: all zero is unset. */
typedef struct quern_optional_int {
  int32_t is_set;
  int32_t value;
} quern_optional_int;
typedef struct quern_optional_float {
  int32_t is_set;
  float value;
} quern_optional_float;
typedef struct quern_optional_uint64 {
  int32_t is_set;
  int32_t reserved; /**< 0 */
  uint64_t value;
} quern_optional_uint64;

/** A choice with a default. */
typedef int32_t quern_choice;
enum { QUERN_DEFAULT = 0, QUERN_ON = 1, QUERN_OFF = 2 };

/** Element types. */
typedef int32_t quern_dtype;
enum {
  QUERN_DTYPE_DEFAULT = 0, /**< where a checkpoint's dtype is meant: unknown */
  QUERN_FLOAT32 = 1,
  QUERN_FLOAT16 = 2,
  QUERN_BFLOAT16 = 3,
  QUERN_INT32 = 4,
  QUERN_INT64 = 5,
  QUERN_UINT8 = 6,
  QUERN_FLOAT8_E4M3 = 7,
  QUERN_UINT4 = 8
};

/** Frees arrays and texts that functions allocate: those of type int32_t** and char**. */
QUERN_C_API void quern_free(void* memory);

typedef int32_t quern_log_level;
enum { QUERN_LOG_DEBUG = 0, QUERN_LOG_INFO = 1, QUERN_LOG_WARNING = 2 };

/** Receives every message of the library, one line with a NUL behind it, on the thread that calls
    the library. */
typedef void (*quern_log_sink)(void* user_data, quern_log_level level, const char* message);

/** Replaces the sink of the process; NULL, the default, silences the library. Thread-safe: when it
    returns, new messages go to the new sink. */
QUERN_C_API quern_status quern_set_log_sink(quern_log_sink sink, void* user_data);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* QUERN_C_BASE_H */
