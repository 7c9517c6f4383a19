#pragma once

#include "runtime/engine_impl.h"

namespace quern {

/// Lets the functions of benchmark.h at what stands behind an engine.
class EngineAccess {
 public:
  static Engine::Impl& impl(Engine& engine) { return *engine.impl_; }
  static const Engine::Impl& impl(const Engine& engine) { return *engine.impl_; }
};

}  // namespace quern
