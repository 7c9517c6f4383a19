#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "quern/engine.h"
#include "quern/error.h"
#include "runtime/schedule/sequence.h"

// What a service needs of an engine beyond its public calls. All but prepare() belong to the
// engine's thread.

namespace quern {

/// A request that was checked and tokenized, ready for the scheduler.
struct PreparedRequest {
  RequestId id = 0;
  std::vector<std::unique_ptr<Sequence>> sequences;  ///< one for each answer, or a beam search
};

/// A sequence that got a row, and when.
struct Admission {
  RequestId id = 0;
  std::chrono::steady_clock::time_point time;
};

/// What an engine holds now, and counts since load. Sequences are answers, not requests.
struct EngineUse {
  std::size_t num_running = 0;  ///< sequences with a row
  std::size_t num_waiting = 0;
  std::size_t num_free_rows = 0;
  std::int64_t num_blocks = 0;
  std::int64_t num_held_blocks = 0;  ///< by running sequences; cached ones are not
  std::uint64_t num_preemptions = 0;
  std::uint64_t prefix_queries = 0;  ///< prompt tokens that were looked up in the prefix cache
  std::uint64_t prefix_hits = 0;     ///< of these found
};

/// The part of Engine::submit() that any thread may do, at any time. Errors: those of submit().
PreparedRequest prepare(Engine& engine, const Request& request, int priority);
/// The rest: queues the request.
RequestId submit(Engine& engine, PreparedRequest request);
/// `arrives`: whether a request is about to be submitted. It is polled while a device loop's step
/// is waited for, which then ends so that the request can be admitted; it must be quick.
void watch_arrivals(Engine& engine, std::function<bool()> arrives);
EngineUse engine_use(const Engine& engine);
/// The sequences that the latest step() admitted.
const std::vector<Admission>& latest_admissions(const Engine& engine);
/// Why the latest step() failed as a whole; nothing if it did not.
const std::optional<Error>& latest_step_error(const Engine& engine);

}  // namespace quern
