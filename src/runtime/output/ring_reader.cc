#include "runtime/output/ring_reader.h"

#include "base/check.h"
#include "base/memory/shared_word.h"

namespace quern {

RingReader::RingReader(const OutputRing& ring) : ring_(ring) {}

int RingReader::num_unread() const {
  const std::int64_t published = read_shared(ring_.published);
  QUERN_CHECK(published >= read_ && published - read_ <= ring_.capacity,
              "{} steps published, {} read, room for {}", published, read_, ring_.capacity);
  return static_cast<int>(published - read_);
}

TokenLogprobs RingReader::token(int index, int state_row, int num_top_logprobs) const {
  const std::int64_t row = (read_ + index) % ring_.capacity;
  const std::int64_t cell = row * ring_.max_seqs + state_row;
  TokenLogprobs token;
  token.id = ring_.tokens[cell];
  if (token.id < 0 || num_top_logprobs < 0) return token;
  token.logprob = ring_.logprobs[cell];
  for (int i = 0; i < num_top_logprobs; ++i) {
    const std::int64_t place = cell * kMaxTopLogprobs + i;
    token.top.push_back({ring_.top_ids[place], ring_.top_logprobs[place]});
  }
  return token;
}

void RingReader::skip_unread() { read_ = read_shared(ring_.published); }

}  // namespace quern
