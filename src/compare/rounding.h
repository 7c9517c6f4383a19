#pragma once

namespace quern {

/// float32's, twice the unit roundoff.
inline constexpr double kEpsilon = 0x1p-23;

inline double square(double x) { return x * x; }

}  // namespace quern
