#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "serve/inbox.h"

namespace quern {

/// A request that the engine has, as the service sees it.
struct LiveRequest {
  using Time = std::chrono::steady_clock::time_point;

  explicit LiveRequest(Submission& submission)
      : channel(std::move(submission.channel)),
        submitted(submission.submitted),
        deadline(submission.deadline),
        prompt_tokens(static_cast<std::size_t>(submission.request.sequences.front()->prompt_len())),
        last_tokens(submission.request.sequences.size()) {}

  std::shared_ptr<Channel> channel;
  Time submitted;
  std::optional<Time> deadline;
  std::size_t prompt_tokens;
  std::size_t generation_tokens = 0;
  std::optional<Time> admitted = {};             ///< the first of its answers
  std::optional<Time> first_token = {};          ///< the time of the step that gave it
  std::vector<std::optional<Time>> last_tokens;  ///< by answer
};

}  // namespace quern
