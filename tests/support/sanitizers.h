#pragma once

namespace quern {

/// Whether this build is many times slower, so that limits of time in a test tell nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kHasSanitizers = true;
#else
inline constexpr bool kHasSanitizers = false;
#endif

/// How many times longer tests wait for what should come before they give up.
inline constexpr int kPatienceFactor = kHasSanitizers ? 10 : 1;

}  // namespace quern
