#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "graph/step.h"
#include "quern/request.h"

namespace quern {

/// Reads the output ring: what the host does when it looks.
class RingReader {
 public:
  RingReader(Backend& backend, const OutputRing& ring);

  /// Brings the rows of the `count` sampling steps since the last read to the host;
  /// log-probabilities only where asked.
  void read(int count, bool with_logprobs);
  /// After read(): the token that step `index` (0 … count - 1) gave to a state row; id -1 when it
  /// gave none.
  TokenLogprobs token(int index, int state_row, int num_top_logprobs) const;
  /// Forgets what has not been read, after a step that failed.
  void skip_unread();

 private:
  template <typename T>
  void copy_rows(std::vector<T>& host, const T* ring, std::int64_t row_size, int count);

  Backend* backend_;
  OutputRing ring_;
  std::int64_t read_ = 0;  ///< sampling steps read so far
  std::vector<std::int32_t> tokens_;
  std::vector<float> logprobs_;
  std::vector<std::int32_t> top_ids_;
  std::vector<float> top_logprobs_;
};

}  // namespace quern
