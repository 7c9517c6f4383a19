#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "quern/quern.h"
#include "quern/request.h"

namespace quern::c {

/// C's views of log-probabilities, which need arrays beside those of C++. Views stay where they are
/// until clear().
class LogprobViews {
 public:
  quern_logprobs add(const std::vector<TokenLogprobs>& logprobs);
  void clear() { arrays_.clear(); }

 private:
  std::deque<std::vector<quern_token_logprobs>> arrays_;
};

/// Updates of a step and C's views of them.
class UpdateViews {
 public:
  quern_updates set(std::vector<Update> updates);

 private:
  std::vector<Update> updates_;
  std::vector<quern_update> views_;
  LogprobViews logprobs_;
};

/// One update; the view lives as long as `update` and `logprobs`.
quern_update view_of(const Update& update, LogprobViews& logprobs);

/// A result that owns what its view shows.
quern_result* make_result(Result result);

}  // namespace quern::c
