#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/c/failure.h"
#include "bindings/c/outputs.h"
#include "quern/engine.h"
#include "quern/quern.h"
#include "quern/tokenizer.h"

namespace quern::c {

/// ModelInfo and C's view of it.
struct OwnedInfo {
  quern_model_info view{};  // first: its address is that of the whole
  ModelInfo info;
  std::string folder;
  std::vector<std::int32_t> eos_token_ids;

  explicit OwnedInfo(ModelInfo given);
};

}  // namespace quern::c

/// An owned tokenizer, or a view of an engine's.
struct quern_tokenizer {
  std::unique_ptr<quern::Tokenizer> owned;
  const quern::Tokenizer* tokenizer = nullptr;
};

struct quern_engine {
  explicit quern_engine(quern::Engine loaded)
      : engine(std::move(loaded)), info(engine.info()), tokenizer{{}, &engine.tokenizer()} {}

  quern::Engine engine;
  quern::c::OwnedInfo info;
  quern_tokenizer tokenizer;
  quern::c::UpdateViews updates;
  mutable std::string error;  // also of calls that take it const
};

namespace quern::c {

/// Runs `body` with an engine that is not NULL; its message is kept as the engine's.
template <class Body>
quern_status with_engine(const quern_engine* engine, Body&& body) noexcept {
  return guarded(engine == nullptr ? nullptr : &engine->error, [&] {
    require(engine, "engine");
    body();
  });
}

}  // namespace quern::c
