#include "tests/backend/conformance/attention_checks.h"

#include "graph/kv_vector.h"
#include "graph/rope.h"

namespace quern::testing {

Rope rope_of(RopeType type, int rotary_dim) {
  Rope rope;
  rope.type = type;
  rope.rotary_dim = rotary_dim;
  rope.factor = 4.0;
  rope.original_max_position = 16;
  rope.attention_factor = type == RopeType::yarn ? 1.1386 : 1.0;
  return rope;
}

namespace {

/// `vector` as the cache gives it back.
std::vector<float> stored_as(DType stored, std::vector<float> vector) {
  if (!is_scaled(stored)) return vector;
  std::vector<std::byte> numbers(vector.size());
  const float scale = quantize_kv_vector(stored, vector, numbers.data());
  dequantize_kv_vector(stored, numbers.data(), scale, vector);
  return vector;
}

/// How far a stored element may be from x, in a vector of the given largest magnitude.
double half_step(DType stored, double x, double largest) {
  if (stored == DType::uint8) return 0.5 * largest / 127.0;
  if (stored != DType::float8_e4m3) return 0.0;
  return std::max(std::abs(x) / 16.0, largest / 448.0 * 0x1p-10);
}

}  // namespace

void AttentionChecks::check(const AttentionCase& c) {
  StepHarness harness(*backend_, dtype(), c.seqs, c.block_size);
  harness.add_kv_cache(kLayer + 2, c.num_kv_heads, c.head_dim,
                       kv_format(c.keys.value_or(dtype()), c.values.value_or(dtype())));
  const int heads = c.num_heads + 2 * c.num_kv_heads;
  auto content = random_floats(std::int64_t{harness.num_tokens()} * heads * c.head_dim, 1);
  for (float& x : content) x *= c.magnitude;
  qkv_ = rounded(dtype(), content);
  q_norm_ = c.qk_norm ? random_floats(c.head_dim, 2) : std::vector<float>{};
  k_norm_ = c.qk_norm ? random_floats(c.head_dim, 3) : std::vector<float>{};

  op_ = {};
  op_.qkv = harness.add_value(dtype(), std::int64_t{heads} * c.head_dim, qkv_);
  op_.out = harness.add_value(dtype(), std::int64_t{c.num_heads} * c.head_dim);
  op_.layer = kLayer;
  op_.num_heads = c.num_heads;
  op_.num_kv_heads = c.num_kv_heads;
  op_.head_dim = c.head_dim;
  op_.rope = c.rope;
  if (c.qk_norm) {
    op_.q_norm = harness.add_vector(q_norm_);
    op_.k_norm = harness.add_vector(k_norm_);
    op_.norm_epsilon = 1e-6f;
  }
  op_.scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  op_.window = c.window;
  op_.softcap = c.softcap;
  op_.logn_length = c.logn_length;
  run(harness, op_);

  const auto out = harness.read(op_.out);
  for (int seq = 0; seq < harness.num_seqs(); ++seq) check_sequence(harness, seq, out);
}

std::vector<double> AttentionChecks::head_of(int row, int index) const {
  const int heads = op_.num_heads + 2 * op_.num_kv_heads;
  const auto begin = qkv_.begin() + (std::ptrdiff_t{row} * heads + index) * op_.head_dim;
  return {begin, begin + op_.head_dim};
}

void AttentionChecks::check_sequence(const StepHarness& harness, int seq,
                                     const std::vector<float>& out) const {
  SCOPED_TRACE(::testing::Message() << "sequence " << seq);
  const SequenceSpec& spec = harness.spec(seq);
  const int row_elements = op_.num_heads * op_.head_dim;
  const auto first = out.begin() + std::ptrdiff_t{harness.first_row(seq)} * row_elements;
  const std::vector<float> rows(first, first + std::ptrdiff_t{spec.q_len} * row_elements);
  if (spec.status != SequenceStatus::running) {
    EXPECT_EQ(rows, std::vector<float>(rows.size(), 0.0f));
    EXPECT_TRUE(std::isnan(harness.read_key(op_.layer, seq, 0, spec.past)[0])) << "appended";
    return;
  }
  const int kv_len = spec.past + spec.q_len;
  std::vector<float> inv_freq;
  if (op_.rope) {
    double alpha = spec.rope_alpha;
    if (op_.rope->type == RopeType::dynamic) {
      alpha = std::max(alpha, rope_alpha(*op_.rope, kv_len));
    }
    inv_freq = rope_inv_freq(*op_.rope, alpha);
  }
  for (int kv_head = 0; kv_head < op_.num_kv_heads; ++kv_head) {
    check_appended(harness, seq, kv_head, inv_freq);
  }
  std::vector<CachedHead> cached;
  for (int kv_head = 0; kv_head < op_.num_kv_heads; ++kv_head) {
    cached.push_back(read_head(harness, seq, kv_head));
  }
  Expected expected;
  for (int i = 0; i < spec.q_len; ++i) {
    double square = 0.0;
    double slack_square = 0.0;
    for (int head = 0; head < op_.num_heads; ++head) {
      const auto kv_head = static_cast<std::size_t>(head / (op_.num_heads / op_.num_kv_heads));
      const Expected part = expected_head(harness, cached[kv_head], seq, i, head, inv_freq);
      expected.values.insert(expected.values.end(), part.values.begin(), part.values.end());
      expected.bounds.insert(expected.bounds.end(), part.bounds.begin(), part.bounds.end());
      for (const double value : part.values) square += value * value;
      slack_square += part.nmse_slack[0];
    }
    expected.nmse_slack.push_back(square > 0.0 ? slack_square / square : 0.0);
  }
  expect_close(rows, expected, static_cast<std::size_t>(row_elements), dtype(),
               {.float32 = 1e-10, .float16 = 2e-7, .bfloat16 = 1e-5});
}

AttentionChecks::CachedHead AttentionChecks::read_head(const StepHarness& harness, int seq,
                                                       int kv_head) const {
  const int kv_len = harness.spec(seq).past + harness.spec(seq).q_len;
  CachedHead cached;
  for (int slot = 0; slot < kv_len; ++slot) {
    cached.keys.push_back(harness.read_key(op_.layer, seq, kv_head, slot));
    cached.values.push_back(harness.read_value(op_.layer, seq, kv_head, slot));
  }
  return cached;
}

Expected AttentionChecks::expected_head(const StepHarness& harness, const CachedHead& cached,
                                        int seq, int i, int head,
                                        const std::vector<float>& inv_freq) const {
  const int own = harness.spec(seq).past + i;
  const int first = op_.window > 0 ? std::max(0, own - op_.window + 1) : 0;
  const auto visible = [&](const std::vector<std::vector<float>>& slots) {
    return std::vector<std::vector<float>>(slots.begin() + first, slots.begin() + own + 1);
  };
  std::vector<double> slack;
  const auto query = reference_head(op_, head_of(harness.first_row(seq) + i, head), q_norm_,
                                    inv_freq, own, true, dtype(), &slack);
  return reference_attention(op_, query, slack, visible(cached.keys), visible(cached.values),
                             dtype(), is_scaled(harness.step().kv_cache.format.values));
}

void AttentionChecks::check_appended(const StepHarness& harness, int seq, int kv_head,
                                     const std::vector<float>& inv_freq) const {
  const SequenceSpec& spec = harness.spec(seq);
  for (int i = 0; i < spec.q_len; ++i) {
    const int slot = spec.past + i;
    const int row = harness.first_row(seq) + i;
    const auto key = reference_head(op_, head_of(row, op_.num_heads + kv_head), k_norm_, inv_freq,
                                    slot, false, dtype());
    const auto stored = harness.read_key(op_.layer, seq, kv_head, slot);
    const KvFormat& format = harness.step().kv_cache.format;
    double length = 0.0;
    double largest = 0.0;
    for (const double x : key) {
      length += x * x;
      largest = std::max(largest, std::abs(x));
    }
    for (std::size_t k = 0; k < key.size(); ++k) {
      EXPECT_NEAR(stored[k], key[k],
                  ulp(dtype(), is_scaled(format.keys) ? largest : key[k]) +
                      8e-7 * std::sqrt(length) + 1.001 * half_step(format.keys, key[k], largest));
    }
    const auto value = head_of(row, op_.num_heads + op_.num_kv_heads + kv_head);
    const auto stored_value = harness.read_value(op_.layer, seq, kv_head, slot);
    EXPECT_EQ(stored_value, stored_as(format.values, {value.begin(), value.end()}));
  }
  const int end = spec.past + spec.q_len;
  EXPECT_TRUE(std::isnan(harness.read_key(op_.layer, seq, kv_head, end)[0])) << "one too many";
  EXPECT_TRUE(std::isnan(harness.read_key(op_.layer - 1, seq, kv_head, end - 1)[0]) ||
              spec.past >= end)
      << "wrong layer";
}

}  // namespace quern::testing
