#include "serve/inbox.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace quern {

void Inbox::check(const std::unique_lock<std::mutex>&) const {
  if (!closed_.empty()) {
    fail(ErrorCode::unavailable, "the service takes no requests: {}", closed_);
  }
  const std::size_t waiting = engine_waiting_ + mail_.submissions.size();
  if (waiting >= max_waiting_ + num_free_rows_) {
    fail(ErrorCode::queue_full, "{} requests wait, max_queue is {}: try again later", waiting,
         max_waiting_);
  }
}

void Inbox::check_open() const {
  const std::unique_lock lock(mutex_);
  check(lock);
}

void Inbox::add(Submission submission) {
  {
    const std::unique_lock lock(mutex_);
    check(lock);
    mail_.submissions.push_back(std::move(submission));
    has_submissions_ = true;
  }
  changed_.notify_one();
}

void Inbox::cancel(RequestId id) {
  {
    const std::unique_lock lock(mutex_);
    mail_.cancelled.push_back(id);
  }
  changed_.notify_one();
}

void Inbox::give(Order order) {
  {
    const std::unique_lock lock(mutex_);
    mail_.order = std::max(mail_.order, order);
    if (order != Order::serve && !failed_) closed_ = "it is shutting down";
  }
  changed_.notify_one();
}

Order Inbox::order() const {
  const std::unique_lock lock(mutex_);
  return mail_.order;
}

std::size_t Inbox::num_waiting() const {
  const std::unique_lock lock(mutex_);
  std::size_t count = 0;
  for (const Submission& submission : mail_.submissions) {
    count += submission.request.sequences.size();
  }
  return count;
}

Inbox::Mail Inbox::take(bool idle) {
  std::unique_lock lock(mutex_);
  if (idle) {
    changed_.wait(lock, [&] {
      return !mail_.submissions.empty() || !mail_.cancelled.empty() || mail_.order != Order::serve;
    });
  }
  engine_waiting_ += mail_.submissions.size();
  Mail mail = std::move(mail_);
  mail_ = {};
  mail_.order = mail.order;
  has_submissions_ = false;
  return mail;
}

void Inbox::open(std::size_t num_free_rows) {
  const std::unique_lock lock(mutex_);
  num_free_rows_ = num_free_rows;
  if (mail_.order == Order::serve) closed_.clear();
}

void Inbox::close(const std::string& reason) {
  const std::unique_lock lock(mutex_);
  closed_ = reason;
  failed_ = true;
}

void Inbox::set_engine_queue(std::size_t num_waiting, std::size_t num_free_rows) {
  const std::unique_lock lock(mutex_);
  engine_waiting_ = num_waiting;
  // Rows that nobody could be admitted to, for lack of blocks, are no room.
  num_free_rows_ = num_waiting == 0 ? num_free_rows : 0;
}

}  // namespace quern
