#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// A text on its way through the normalizers.
struct NormalizedText {
  std::string text;
  /// The first character comes from the original's first: what Metaspace asks to know whether the
  /// text begins here.
  bool keeps_start = true;
  /// Of the whole text that this is a part of; null: of this part alone.
  MatchBudget* budget = nullptr;
};

/// Rewrites a text before it is split: one entry of "normalizer" in tokenizer.json. Immutable:
/// threads may share it.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;

  virtual void normalize(NormalizedText& text) const = 0;

 protected:
  Normalizer() = default;
};

using NormalizerList = std::vector<std::unique_ptr<Normalizer>>;

inline void normalize(const NormalizerList& list, NormalizedText& text) {
  for (const auto& normalizer : list) normalizer->normalize(text);
}

}  // namespace quern
