#include "runtime/schedule/beam_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "backend/cpu/sample/log_softmax.h"
#include "base/check.h"

namespace quern {
namespace {

/// The score of what is ruled out.
constexpr float kRuledOut = -1.0e9f;

float length_factor(int num_tokens, float length_penalty) {
  return static_cast<float>(std::pow(static_cast<double>(num_tokens), length_penalty));
}

/// The indices of the `count` largest scores, the largest first, equal ones in order.
std::vector<std::size_t> largest(const std::vector<float>& scores, int count) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[a] > scores[b]; });
  order.resize(static_cast<std::size_t>(count));
  return order;
}

/// Equal scores in order of beam and token.
bool is_better(const BeamCandidate& a, const BeamCandidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.beam != b.beam ? a.beam < b.beam : a.token_id < b.token_id;
}

}  // namespace

BeamSearch::BeamSearch(const BeamSearchParams& params, int max_tokens,
                       std::vector<std::int32_t> eos_token_ids)
    : params_(params),
      max_tokens_(max_tokens),
      eos_token_ids_(std::move(eos_token_ids)),
      running_(static_cast<std::size_t>(params.num_beams)),
      finished_(running_.size()) {
  // So that the first step's candidates continue one beam, not several equal ones.
  for (std::size_t i = 1; i < running_.size(); ++i) running_[i].score = kRuledOut;
  for (Finished& finished : finished_) finished.beam.score = kRuledOut;
}

int BeamSearch::num_candidates() const {
  return std::max(2, 1 + static_cast<int>(eos_token_ids_.size())) * params_.num_beams;
}

std::vector<Beam> BeamSearch::finished() const {
  std::vector<Beam> beams;
  for (const Finished& finished : finished_) {
    if (finished.is_real) beams.push_back(finished.beam);
  }
  return beams;
}

std::vector<BeamCandidate> BeamSearch::best_candidates(std::span<const float> log_probs,
                                                       int vocab_size) const {
  const auto num_tokens = static_cast<std::size_t>(vocab_size);
  const bool one_row = log_probs.size() == num_tokens;
  QUERN_CHECK(one_row || log_probs.size() == running_.size() * num_tokens);
  const std::size_t count =
      std::min(static_cast<std::size_t>(num_candidates()), running_.size() * num_tokens);
  std::vector<BeamCandidate> heap;  // the worst of the best is in front
  heap.reserve(count);
  for (std::size_t beam = 0; beam < running_.size(); ++beam) {
    const float* row = log_probs.data() + (one_row ? 0 : beam * num_tokens);
    const float score = running_[beam].score;
    // Later ones lose a tie.
    const auto is_out = [&](float log_prob) {
      return heap.size() == count && !(score + log_prob > heap.front().score);
    };
    constexpr std::size_t kBlock = 256;
    for (std::size_t begin = 0; begin < num_tokens; begin += kBlock) {
      const std::size_t end = std::min(begin + kBlock, num_tokens);
      // Nearly all blocks end here.
      if (is_out(cpu::largest_of({row + begin, end - begin}))) continue;
      for (std::size_t id = begin; id < end; ++id) {
        if (is_out(row[id])) continue;
        if (heap.size() == count) {
          std::ranges::pop_heap(heap, is_better);
          heap.pop_back();
        }
        heap.push_back({static_cast<int>(beam), static_cast<std::int32_t>(id), score + row[id]});
        std::ranges::push_heap(heap, is_better);
      }
    }
  }
  std::ranges::sort_heap(heap, is_better);
  return heap;
}

std::optional<std::vector<BeamCandidate>> BeamSearch::best_candidates(
    std::span<const BestTokens> rows) const {
  QUERN_CHECK(rows.size() == 1 || rows.size() == running_.size());
  const auto row_of = [&](std::size_t beam) -> const BestTokens& {
    return rows[rows.size() == 1 ? 0 : beam];
  };
  std::vector<BeamCandidate> best;
  for (std::size_t beam = 0; beam < running_.size(); ++beam) {
    for (const TokenLogprob& token : row_of(beam).tokens) {
      best.push_back({static_cast<int>(beam), token.id, running_[beam].score + token.logprob});
    }
  }
  std::ranges::sort(best, is_better);
  best.resize(std::min(best.size(), static_cast<std::size_t>(num_candidates())));
  for (std::size_t beam = 0; beam < running_.size(); ++beam) {
    // Rounded sums keep the order of their log-probabilities, but may become equal.
    const std::optional<float>& bound = row_of(beam).bound;
    const bool is_out = !bound || (std::ssize(best) == num_candidates() &&
                                   running_[beam].score + *bound < best.back().score);
    if (!is_out) return std::nullopt;
  }
  return best;
}

bool BeamSearch::ends(const BeamCandidate& candidate) const {
  return candidate.is_stopped || num_generated_ + 1 >= max_tokens_ ||
         std::ranges::find(eos_token_ids_, candidate.token_id) != eos_token_ids_.end();
}

Beam BeamSearch::continued(const BeamCandidate& candidate, float score) const {
  const Beam& parent = running_[static_cast<std::size_t>(candidate.beam)];
  Beam beam;
  beam.token_ids = parent.token_ids;
  beam.token_ids.push_back(candidate.token_id);
  beam.logprobs = parent.logprobs;
  if (candidate.logprobs) beam.logprobs.push_back(candidate.logprobs);
  beam.text = candidate.text;
  beam.score = score;
  beam.parent = candidate.beam;
  return beam;
}

void BeamSearch::advance(std::span<const BeamCandidate> candidates) {
  QUERN_CHECK(!done_ && std::ssize(candidates) >= params_.num_beams);
  const bool all_end = std::ranges::all_of(candidates, [&](const auto& c) { return ends(c); });
  std::vector<float> scores;
  for (const BeamCandidate& candidate : candidates) {
    scores.push_back(candidate.score + (ends(candidate) ? kRuledOut : 0.0f));
  }
  std::vector<Beam> running;
  for (const std::size_t i : largest(scores, params_.num_beams)) {
    running.push_back(continued(candidates[i], scores[i]));
  }
  update_finished(candidates);
  running_ = std::move(running);
  ++num_generated_;
  improvable_ = improvable_ && can_improve();
  const bool full = std::ranges::all_of(finished_, [](const auto& f) { return f.is_real; });
  done_ = !improvable_ || (full && params_.early_stopping == EarlyStopping::on) || all_end;
}

void BeamSearch::update_finished(std::span<const BeamCandidate> candidates) {
  const bool full = std::ranges::all_of(finished_, [](const auto& f) { return f.is_real; });
  const float factor = length_factor(num_generated_ + 1, params_.length_penalty);
  std::vector<float> scores;
  for (const Finished& finished : finished_) scores.push_back(finished.beam.score);
  const auto finishes = [&](std::size_t index) {
    // The rest are only there to continue.
    return index < finished_.size() && ends(candidates[index]);
  };
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    float score = candidates[i].score / factor;
    if (full && params_.early_stopping == EarlyStopping::on) score += kRuledOut;
    if (!improvable_) score += kRuledOut;
    if (!finishes(i)) score += kRuledOut;
    scores.push_back(score);
  }
  std::vector<Finished> merged;
  for (const std::size_t i : largest(scores, params_.num_beams)) {
    if (i < finished_.size()) {
      merged.push_back(finished_[i]);
      continue;
    }
    const std::size_t candidate = i - finished_.size();
    merged.push_back({continued(candidates[candidate], scores[i]), finishes(candidate)});
  }
  finished_ = std::move(merged);
}

bool BeamSearch::can_improve() const {
  // With a positive penalty a longer beam may still score higher; only `never` counts on it.
  const bool to_the_end =
      params_.early_stopping == EarlyStopping::never && params_.length_penalty > 0.0f;
  const int length = to_the_end ? max_tokens_ : num_generated_;
  const float best = running_.front().score / length_factor(length, params_.length_penalty);
  float worst = finished_.front().beam.score;
  for (const Finished& finished : finished_) worst = std::min(worst, finished.beam.score);
  return std::ranges::any_of(finished_, [&](const Finished& finished) {
    return best > (finished.is_real ? worst : kRuledOut);
  });
}

}  // namespace quern
