#pragma once

#include <memory>
#include <utility>

#include "runtime/engine_impl.h"

namespace quern {

/// Gives the functions of benchmark.h and tests access to an engine's implementation.
class EngineAccess {
 public:
  using Impl = Engine::Impl;
  static Engine make(std::unique_ptr<Impl> impl) { return Engine(std::move(impl)); }
  static Engine::Impl& impl(Engine& engine) { return *engine.impl_; }
  static const Engine::Impl& impl(const Engine& engine) { return *engine.impl_; }
};

}  // namespace quern
