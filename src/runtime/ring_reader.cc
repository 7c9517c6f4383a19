#include "runtime/ring_reader.h"

#include <algorithm>

#include "base/check.h"

namespace quern {

RingReader::RingReader(Backend& backend, const OutputRing& ring)
    : backend_(&backend), ring_(ring) {}

template <typename T>
void RingReader::copy_rows(std::vector<T>& host, const T* ring, std::int64_t row_size, int count) {
  host.resize(static_cast<std::size_t>(count * row_size));
  for (int done = 0; done < count;) {
    const std::int64_t row = (read_ + done) % ring_.capacity;
    const auto rows = std::min<std::int64_t>(count - done, ring_.capacity - row);
    backend_->copy_out(host.data() + done * row_size, ring + row * row_size,
                       static_cast<std::size_t>(rows * row_size) * sizeof(T));
    done += static_cast<int>(rows);
  }
}

void RingReader::read(int count, bool with_logprobs) {
  std::int64_t head = 0;
  backend_->copy_out(&head, ring_.head, sizeof(head));
  QUERN_CHECK(head == read_ + count && count <= ring_.capacity,
              "ring head {}, {} steps read, {} to read", head, read_, count);
  copy_rows(tokens_, ring_.tokens, ring_.max_seqs, count);
  if (with_logprobs) {
    const std::int64_t tops = std::int64_t{ring_.max_seqs} * kMaxTopLogprobs;
    copy_rows(logprobs_, ring_.logprobs, ring_.max_seqs, count);
    copy_rows(top_ids_, ring_.top_ids, tops, count);
    copy_rows(top_logprobs_, ring_.top_logprobs, tops, count);
  }
  read_ = head;
}

void RingReader::skip_unread() { backend_->copy_out(&read_, ring_.head, sizeof(read_)); }

TokenLogprobs RingReader::token(int index, int state_row, int num_top_logprobs) const {
  const auto cell = static_cast<std::size_t>(index) * ring_.max_seqs + state_row;
  TokenLogprobs token;
  token.id = tokens_[cell];
  if (token.id < 0 || num_top_logprobs < 0) return token;
  token.logprob = logprobs_[cell];
  for (int i = 0; i < num_top_logprobs; ++i) {
    const std::size_t place = cell * kMaxTopLogprobs + i;
    token.top.push_back({top_ids_[place], top_logprobs_[place]});
  }
  return token;
}

}  // namespace quern
