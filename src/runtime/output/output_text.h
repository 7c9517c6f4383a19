#pragma once

#include <cstdint>
#include <string>

#include "quern/request.h"
#include "quern/tokenizer.h"
#include "runtime/output/stop_matcher.h"
#include "tokenizer/detokenizer.h"

namespace quern {

/// The text of new tokens, up to the first stop string.
class OutputText {
 public:
  /// `tokenizer` must outlive this.
  OutputText(const Tokenizer& tokenizer, const Request& request)
      : tokenizer_(&tokenizer),
        detokenizer_(tokenizer, !request.keep_special, Detokenizer::Start::continuation),
        stop_(request.stop),
        hides_special_(!request.keep_special) {}

  /// Adds a token and returns the text that can be shown; see StopMatcher.
  std::string add(std::int32_t id);
  /// The text still held back at the end of the tokens, whose last bytes may complete a stop
  /// string.
  std::string finish();
  /// Whether a stop string was found.
  bool stopped() const { return stop_.matched(); }
  bool has_stops() const { return stop_.has_stops(); }
  /// Looks for further stop strings, behind the one that was found.
  void go_on() { stop_.go_on(); }

 private:
  /// Whether text that still waits in the detokenizer, such as a line break that is a byte token,
  /// completes a stop string.
  bool would_stop() const;

  const Tokenizer* tokenizer_;
  Detokenizer detokenizer_;
  StopMatcher stop_;
  bool hides_special_;
};

}  // namespace quern
