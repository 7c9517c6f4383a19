#include "tokenizer/pretokenize/pretokenizer.h"

#include <utility>

namespace quern {

void PreTokenizer::add_split(Regex regex, Keep keep) {
  steps_.emplace_back(Split{std::move(regex), keep});
}

void PreTokenizer::add_prefix_space() { steps_.emplace_back(PrefixSpace{}); }

void PreTokenizer::run(std::size_t step, std::string_view piece, const Sink& sink) const {
  if (piece.empty()) return;
  if (step == steps_.size()) {
    sink(piece);
  } else if (const Split* split = std::get_if<Split>(&steps_[step])) {
    split->regex.split(piece, [&](std::string_view part, bool is_match) {
      if (split->keep == Keep::all || is_match == (split->keep == Keep::matches)) {
        run(step + 1, part, sink);
      }
    });
  } else if (piece.front() == ' ') {
    run(step + 1, piece, sink);
  } else {
    run(step + 1, ' ' + std::string(piece), sink);
  }
}

}  // namespace quern
