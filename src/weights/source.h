#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "weights/format.h"

namespace quern {

/// Reads rows [first_row, first_row + num_rows) of a component, dense, to `out`. Thread-safe.
using RowReader =
    std::function<void(std::int64_t first_row, std::int64_t num_rows, std::byte* out)>;

/// One component of a weight that is not yet loaded.
struct ComponentSource {
  WeightComponent component = WeightComponent::values;
  RowReader read;
};

/// A weight that is not yet loaded, by its components: those of component_places().
struct WeightSource {
  WeightUse use = WeightUse::matrix;
  WeightFormat format;
  WeightShape shape;
  std::vector<ComponentSource> components;

  /// Errors: internal when there is no such component.
  const RowReader& reader(WeightComponent component) const;
};

struct QuantizedTensor;

/// One tensor of a checkpoint that becomes (a range of rows of) a weight.
struct WeightPart {
  std::string name;                 ///< the checkpoint's tensor name
  std::vector<std::int64_t> shape;  ///< the shape it must have there
  bool transposed = false;          ///< stored [in_features, out_features], as GPT-2's Conv1D does
  /// Set where the checkpoint has it quantized: `name` is then "<module>.weight", `shape`
  /// [out_features, in_features].
  std::shared_ptr<const QuantizedTensor> quantized = nullptr;
};

/// Declares a weight: the checkpoint tensors that it is stacked from, by rows.
struct WeightSpec {
  std::string name;  ///< engine name, as graph nodes show it: "layers.3.qkv"
  WeightUse use = WeightUse::matrix;
  std::int64_t out_features = 0;  ///< 1 for a vector
  std::int64_t in_features = 0;
  std::vector<WeightPart> parts;
  /// How it is stored, which whoever opens the model decides.
  WeightFormat format = {};

  WeightShape shape() const { return {out_features, in_features}; }
};

}  // namespace quern
