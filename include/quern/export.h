#pragma once

/// Marks what the shared library exports; everything else stays hidden.
#define QUERN_API __attribute__((visibility("default")))

/// Marks an inner class of an exported one that stays hidden.
#define QUERN_LOCAL __attribute__((visibility("hidden")))
