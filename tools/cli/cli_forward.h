#pragma once

// CLI11 is a large header; ours need only these names of it.
// Its namespace is not ours to rename. NOLINTNEXTLINE(readability-identifier-naming)
namespace CLI {
class App;
class Option;
}  // namespace CLI
