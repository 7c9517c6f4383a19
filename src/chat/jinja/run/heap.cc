#include "chat/jinja/run/heap.h"

#include <fmt/format.h>

namespace quern::jinja {

void Heap::refuse_steps() const {
  fail_at(0, Failure::Kind::limit,
          fmt::format("stopped: it takes more than {} steps", limits_.max_steps));
}

void Heap::refuse_bytes() const {
  fail_at(0, Failure::Kind::limit,
          fmt::format("stopped: it makes more than {} bytes of values", limits_.max_bytes));
}

}  // namespace quern::jinja
