#include "tests/backend/conformance/sample/reference_sampling.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/philox.h"

namespace quern::testing {
namespace {

constexpr double kLowest = -std::numeric_limits<double>::infinity();

/// Ids from the smallest score to the largest; among equals the lower id is last.
std::vector<std::size_t> ascending(const std::vector<double>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] != scores[b] ? scores[a] < scores[b] : a > b;
  });
  return order;
}

void top_k(std::vector<double>& scores, int k) {
  const auto order = ascending(scores);
  const std::size_t count = std::min(static_cast<std::size_t>(k), scores.size());
  const double threshold = scores[order[scores.size() - count]];
  for (double& score : scores) {
    if (score < threshold) score = kLowest;
  }
}

void top_p(std::vector<double>& scores, double p) {
  const auto order = ascending(scores);
  const auto probabilities = reference_softmax(scores);
  double cumulative = 0.0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {  // the last one always stays
    cumulative += probabilities[order[i]];
    if (cumulative <= 1.0 - p) scores[order[i]] = kLowest;
  }
}

void min_p(std::vector<double>& scores, double p) {
  const auto probabilities = reference_softmax(scores);
  const double threshold = p * *std::max_element(probabilities.begin(), probabilities.end());
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (probabilities[i] < threshold) scores[i] = kLowest;
  }
}

double entropy(const std::vector<double>& scores) {
  double sum = 0.0;
  for (const double p : reference_softmax(scores)) sum -= p > 0.0 ? p * std::log(p) : 0.0;
  return sum;
}

void top_n_sigma(std::vector<double>& scores, double n) {
  std::vector<double> finite;
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(finite),
               [](double score) { return score > kLowest; });
  const auto count = static_cast<double>(finite.size());
  const double mean = std::accumulate(finite.begin(), finite.end(), 0.0) / count;
  double variance = 0.0;
  for (const double score : finite) variance += (score - mean) * (score - mean) / count;
  const double threshold =
      *std::max_element(finite.begin(), finite.end()) - n * std::sqrt(variance);
  for (double& score : scores) {
    if (score < threshold) score = kLowest;
  }
}

void typical_p(std::vector<double>& scores, double p) {
  const auto probabilities = reference_softmax(scores);
  const double expected = entropy(scores);
  std::vector<double> distances;
  for (const double probability : probabilities) {
    distances.push_back(std::abs(-std::log(probability) - expected));
  }
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return distances[a] < distances[b]; });
  double cumulative = 0.0;
  double farthest = distances[order.back()];
  for (const std::size_t id : order) {
    cumulative += probabilities[id];
    if (cumulative >= p) {
      farthest = distances[id];
      break;
    }
  }
  constexpr double kTie = 1e-9;  // equal scores have distances that differ by rounding
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (distances[id] > farthest + kTie) scores[id] = kLowest;
  }
}

void cutoff(std::vector<double>& scores, double least) {
  const auto probabilities = reference_softmax(scores);
  const double best = *std::max_element(scores.begin(), scores.end());
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (probabilities[id] < least && scores[id] < best) scores[id] = kLowest;
  }
}

/// With a threshold of at most a half several tokens can reach it.
void exclude_top_choices(std::vector<double>& scores, double threshold) {
  const auto probabilities = reference_softmax(scores);
  auto order = ascending(scores);
  std::erase_if(order, [&](std::size_t id) { return probabilities[id] < threshold; });
  for (std::size_t i = 1; i < order.size(); ++i) scores[order[i]] = kLowest;
}

/// How long a repetition each token would continue, as text-generation-webui counts.
std::map<std::int32_t, int> repetitions(const SamplingRow& row,
                                        const std::vector<std::int32_t>& history) {
  const std::set<std::int32_t> breakers(row.dry_breakers, row.dry_breakers + row.num_dry_breakers);
  std::vector<std::int32_t> ids = history;
  if (row.dry_range > 0 && std::cmp_less(row.dry_range, ids.size())) {
    ids.erase(ids.begin(), ids.end() - row.dry_range);
  }
  std::map<std::int32_t, int> lengths;
  if (ids.empty() || breakers.contains(ids.back())) return lengths;
  for (std::size_t at = 0; at + 1 < ids.size(); ++at) {
    const std::int32_t next = ids[at + 1];
    if (ids[at] != ids.back() || breakers.contains(next)) continue;
    std::size_t length = 1;
    while (length < 50 && length <= at) {
      const std::int32_t earlier = ids[at - length];
      if (earlier != ids[ids.size() - 1 - length] || breakers.contains(earlier)) break;
      ++length;
    }
    lengths[next] = std::max(lengths[next], static_cast<int>(length));
  }
  return lengths;
}

}  // namespace

std::vector<double> reference_processed(const std::vector<float>& logits, const SamplingRow& row,
                                        const std::vector<std::int32_t>& prompt,
                                        const std::vector<std::int32_t>& generated) {
  std::vector<double> scores(logits.begin(), logits.end());
  const auto score = [&](std::int32_t id) -> double& {
    return scores[static_cast<std::size_t>(id)];
  };
  std::vector<std::int32_t> all = prompt;
  all.insert(all.end(), generated.begin(), generated.end());

  for (const std::int32_t id : std::set<std::int32_t>(all.begin(), all.end())) {
    score(id) =
        score(id) < 0 ? score(id) * row.repetition_penalty : score(id) / row.repetition_penalty;
  }
  std::map<std::int32_t, int> counts;
  for (const std::int32_t id : generated) ++counts[id];
  for (const auto& [id, count] : counts) {
    score(id) -= row.presence_penalty;
    score(id) -= static_cast<double>(row.frequency_penalty) * count;
  }
  if (row.dry_multiplier > 0.0f) {
    for (const auto& [id, length] : repetitions(row, all)) {
      if (length < row.dry_allowed_length) continue;
      score(id) -= row.dry_multiplier * std::pow(row.dry_base, length - row.dry_allowed_length);
    }
  }
  if (const auto n = static_cast<std::size_t>(row.no_repeat_ngram_size); n > 0) {
    std::map<std::vector<std::int32_t>, std::vector<std::int32_t>> followers;
    for (std::size_t i = 0; i + n <= all.size(); ++i) {
      followers[{all.begin() + i, all.begin() + i + (n - 1)}].push_back(all[i + n - 1]);
    }
    if (all.size() + 1 >= n) {
      for (const std::int32_t id : followers[{all.end() - (n - 1), all.end()}]) score(id) = kLowest;
    }
  }
  for (int i = 0, begin = 0; i < row.num_banned_phrases; begin = row.banned_phrase_ends[i++]) {
    std::vector<std::int32_t> phrase(row.banned_phrase_tokens + begin,
                                     row.banned_phrase_tokens + row.banned_phrase_ends[i]);
    const std::int32_t last = phrase.back();
    phrase.pop_back();
    if (phrase.size() <= all.size() && std::equal(phrase.rbegin(), phrase.rend(), all.rbegin())) {
      score(last) = kLowest;
    }
  }
  for (int i = 0; i < row.num_logit_bias; ++i) {
    const bool applies =
        row.bias_until[i] == 0 || std::cmp_less(generated.size(), row.bias_until[i]);
    if (applies) score(row.bias_ids[i]) += row.bias_values[i];
  }
  return scores;
}

std::vector<double> reference_filtered(std::vector<double> scores, const SamplingRow& row,
                                       int position) {
  for (double& score : scores) score /= row.temperature;
  if (row.top_n_sigma > 0.0f) top_n_sigma(scores, row.top_n_sigma);
  if (row.top_k > 0) top_k(scores, row.top_k);
  if (row.top_p < 1.0f) top_p(scores, row.top_p);
  if (row.min_p > 0.0f) min_p(scores, row.min_p);
  if (row.typical_p < 1.0f) typical_p(scores, row.typical_p);
  if (row.epsilon_cutoff > 0.0f) cutoff(scores, row.epsilon_cutoff);
  if (row.eta_cutoff > 0.0f) {
    const double eta = row.eta_cutoff;
    cutoff(scores, std::min(eta, std::sqrt(eta) * std::exp(-entropy(scores))));
  }
  if (row.xtc_probability > 0.0f &&
      uniform_of_step(row.seed, row.sequence_index, static_cast<std::uint32_t>(position)) <
          row.xtc_probability) {
    exclude_top_choices(scores, row.xtc_threshold);
  }
  return scores;
}

std::vector<double> reference_softmax(const std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  std::vector<double> result;
  double sum = 0.0;
  for (const double score : scores) {
    result.push_back(std::exp(score - largest));
    sum += result.back();
  }
  for (double& probability : result) probability /= sum;
  return result;
}

std::int32_t reference_draw(const std::vector<double>& scores, const SamplingRow& row,
                            int position) {
  double best = kLowest;
  std::int32_t winner = -1;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    const auto word = draw_word(row.seed, row.sequence_index, static_cast<std::uint32_t>(position),
                                static_cast<std::uint32_t>(id));
    const double value = scores[id] + gumbel(word);
    if (value > best) {
      best = value;
      winner = static_cast<std::int32_t>(id);
    }
  }
  return winner;
}

}  // namespace quern::testing
