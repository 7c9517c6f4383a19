#pragma once

#include <memory>
#include <utility>

#include "serve/channel.h"
#include "serve/inbox.h"

namespace quern {

/// The reader's side of a channel. It may outlive the service.
class Stream final : public ResponseStream {
 public:
  Stream(RequestId id, std::shared_ptr<Channel> channel, std::shared_ptr<Inbox> inbox)
      : id_(id), channel_(std::move(channel)), inbox_(std::move(inbox)) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() override { cancel(); }

  std::vector<Update> take() override { return channel_->take(); }
  std::vector<Update> wait() override { return channel_->wait(); }
  bool ended() const override { return channel_->ended(); }
  void cancel() override {
    if (!ended()) inbox_->cancel(id_);
  }
  Result result() override { return channel_->result(); }
  RequestTimes times() const override { return channel_->times(); }

 private:
  RequestId id_;
  std::shared_ptr<Channel> channel_;
  std::shared_ptr<Inbox> inbox_;
};

}  // namespace quern
