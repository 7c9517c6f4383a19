#include "serve/channel.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace quern {
namespace {

template <typename T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

bool Channel::put(Update update) {
  {
    const std::lock_guard lock(mutex_);
    join(std::move(update));
  }
  return notify(on_output_);
}

bool Channel::end(Update update, End end) {
  {
    const std::lock_guard lock(mutex_);
    join(std::move(update));
    end_ = std::move(end);
  }
  // The callback may hold what holds this: dropping it breaks the cycle.
  return notify(std::exchange(on_output_, {}));
}

bool Channel::notify(const std::function<void()>& on_output) {
  changed_.notify_all();
  try {
    if (on_output) on_output();
    return true;
  } catch (...) {
    on_output_ = {};
    return false;
  }
}

void Channel::join(Update&& update) {
  const auto same = std::ranges::find(pending_, update.sequence, &Update::sequence);
  if (same == pending_.end()) {
    pending_.push_back(std::move(update));
    return;
  }
  append(same->token_ids, std::move(update.token_ids));
  append(same->logprobs, std::move(update.logprobs));
  same->text += update.text;
  if (update.finish_reason) {
    same->finish_reason = update.finish_reason;
    same->error = std::move(update.error);
  }
  same->last = update.last;
  // The request's last update comes last.
  if (update.last) std::rotate(same, same + 1, pending_.end());
}

std::vector<Update> Channel::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(pending_, {});
}

std::vector<Update> Channel::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !pending_.empty() || end_; });
  return std::exchange(pending_, {});
}

bool Channel::ended() const {
  const std::lock_guard lock(mutex_);
  return end_.has_value();
}

Result Channel::result() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return end_.has_value(); });
  return end_->result;
}

RequestTimes Channel::times() const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return end_.has_value(); });
  return end_->times;
}

}  // namespace quern
