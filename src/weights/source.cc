#include "weights/source.h"

#include <algorithm>

#include "base/check.h"

namespace quern {

const RowReader& WeightSource::reader(WeightComponent component) const {
  const auto found = std::ranges::find(components, component, &ComponentSource::component);
  QUERN_CHECK(found != components.end() && found->read, "component {} of a {} weight",
              static_cast<int>(component), format_name(format));
  return found->read;
}

}  // namespace quern
