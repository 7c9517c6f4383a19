#pragma once

#include <optional>
#include <vector>

#include "graph/step.h"
#include "runtime/schedule/beam_search.h"
#include "runtime/schedule/beam_tables.h"

namespace quern {

/// A sequence's beam search while it runs: the device treats each beam as a sequence that decodes
/// greedily, and the host then replaces what it chose.
struct BeamRun {
  BeamSearch search;
  SamplingRow processors;  ///< penalties and biases, which the host applies
  int num_returned = 1;

  // Set at admission.
  std::vector<int> rows = {};  ///< state rows by beam
  std::optional<BeamTables> tables = {};

  bool forked = false;  ///< after the first token, which one row samples
  int logit_row = 0;    ///< of the first beam, in the step launched last
};

}  // namespace quern
