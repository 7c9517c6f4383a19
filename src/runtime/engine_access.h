#pragma once

#include "runtime/engine_impl.h"

namespace quern {

/// Gives the functions of benchmark.h access to an engine's implementation.
class EngineAccess {
 public:
  static Engine::Impl& impl(Engine& engine) { return *engine.impl_; }
  static const Engine::Impl& impl(const Engine& engine) { return *engine.impl_; }
};

}  // namespace quern
