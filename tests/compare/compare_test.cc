#include "quern/compare.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <variant>

#include "backend/cpu/cpu_backend.h"
#include "base/half.h"
#include "compare/lock_step.h"
#include "tests/runtime/golden.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Change = std::function<void(OpenedModel& model)>;

EngineOptions cpu_options(DType dtype, KvCacheDType kv_cache_dtype = KvCacheDType::automatic) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.dtype = dtype;
  options.kv_cache_dtype = kv_cache_dtype;
  options.max_seqs = 2;
  options.max_seq_len = 64;
  options.max_tokens_per_step = 16;
  return resolve_options(options);
}

std::unique_ptr<ComparedSide> make_side(const std::string& name, DType dtype,
                                        const Change& change = nullptr,
                                        KvCacheDType kv_cache_dtype = KvCacheDType::automatic) {
  const EngineOptions options = cpu_options(dtype, kv_cache_dtype);
  OpenedModel model = open_model(testing::demo_model(name).string(), options);
  if (change) change(model);
  return std::make_unique<ComparedSide>(std::move(model), options,
                                        make_cpu_backend(options.threads));
}

std::vector<Request> two_prompts() {
  std::vector<Request> requests(2);
  requests[0].prompt = "Once upon a time there was a king who had three sons, and the youngest";
  requests[1].prompt = "The king";
  return requests;
}

Comparison run(ComparedSide& tested, ComparedSide& reference, const CompareOptions& options = {}) {
  Comparison comparison;
  LockStep(tested, reference, options).run(two_prompts(), comparison);
  return comparison;
}

template <typename SomeGraph>
auto& node_of(SomeGraph& graph, const std::string& name) {
  return *std::find_if(graph.nodes.begin(), graph.nodes.end(),
                       [&](const Node& node) { return node.name == name; });
}

class Compare : public ::testing::TestWithParam<DType> {
 protected:
  /// With the tested side changed, `guilty` is the first value over its bound, and in lock-step no
  /// other node is.
  static void expect_found(const std::string& model, const std::string& guilty,
                           const Change& change,
                           const std::function<void(ComparedSide&)>& change_side = nullptr) {
    const auto tested = make_side(model, GetParam(), change);
    if (change_side) change_side(*tested);
    const auto reference = make_side(model, GetParam());
    const Comparison comparison = run(*tested, *reference);
    ASSERT_NE(comparison.first_over_bound(), nullptr);
    EXPECT_EQ(comparison.first_over_bound()->node, guilty);
    for (const ValueComparison& value : comparison.values) {
      EXPECT_FALSE(value.over_bound && value.node != guilty) << value.value;
    }
    CompareOptions drifting;
    drifting.lock_step = false;
    drifting.max_nmse = 1e-7;
    const Comparison drift = run(*tested, *reference, drifting);
    ASSERT_NE(drift.first_over_bound(), nullptr);
    EXPECT_EQ(drift.first_over_bound()->node, guilty);
    EXPECT_TRUE(drift.values.back().node == "sample");
  }
};

TEST_P(Compare, FindsNothingWhereNothingDiffers) {
  for (const char* model : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    SCOPED_TRACE(model);
    const auto tested = make_side(model, GetParam());
    const auto reference = make_side(model, GetParam());
    const Comparison comparison = run(*tested, *reference);
    // Two chunks of the prompts, 16 rows at a time, the second beside a decode row of the short
    // one, then decode steps of both.
    ASSERT_GE(comparison.steps.size(), 4U);
    EXPECT_EQ(comparison.steps[0].num_tokens, 16);
    EXPECT_EQ(comparison.steps[1].num_decode_seqs, 1);
    EXPECT_GT(comparison.steps[1].num_tokens, 1);
    EXPECT_EQ(comparison.steps[2].num_decode_seqs, 2);
    for (const ValueComparison& value : comparison.values) {
      EXPECT_FALSE(value.over_bound);
      EXPECT_EQ(value.absolute.max, 0.0) << value.value;
      EXPECT_EQ(value.num_nan, 0);
      EXPECT_TRUE(value.max_nmse);
    }
  }
}

TEST_P(Compare, FindsARopeAppliedTwice) {
  expect_found("tale-llama", "layers.2.attention", [](OpenedModel& model) {
    auto& op = std::get<Attention>(node_of(model.graph, "layers.2.attention").op);
    op.rope->type = RopeType::linear;
    op.rope->factor = 0.5;  // doubles every angle
  });
}

TEST_P(Compare, FindsASwappedGate) {
  for (const char* name : {"tale-qwen", "tale-qwen2"}) {
    expect_found(name, "layers.1.gate_up", [](OpenedModel& model) {
      const auto& op = std::get<NormLinear>(node_of(model.graph, "layers.1.gate_up").op);
      auto& parts = model.graph.weights[static_cast<std::size_t>(op.weight)].parts;
      std::swap(parts[0], parts[1]);
    });
  }
}

TEST_P(Compare, FindsOneWeightChanged) {
  expect_found("tale-gpt2", "layers.2.down", nullptr, [](ComparedSide& side) {
    const auto& op = std::get<Linear>(node_of(side.graph(), "layers.2.down").op);
    const Weight& weight = side.step().weight(op.weight);
    std::vector<float> row(static_cast<std::size_t>(weight.in_features));
    dequantize_row(weight, 7, row);
    row[11] += 0.25f;
    store_floats(
        weight.format.stored, row,
        weight.values.data +
            7 * weight.in_features * static_cast<std::int64_t>(dtype_bytes(weight.format.stored)));
  });
}

TEST_P(Compare, FindsAnotherEpsilon) {
  const auto set_epsilon = [](OpenedModel& model) {
    auto& op = std::get<NormLinear>(node_of(model.graph, "layers.0.qkv").op);
    ASSERT_EQ(op.epsilon, 1e-5f);
    op.epsilon = 1e-6f;
  };
  expect_found("tale-llama", "layers.0.qkv", set_epsilon);
  expect_found("tale-gpt2", "layers.0.qkv", set_epsilon);
}

TEST_P(Compare, ShowsNanAndInfinity) {
  const auto tested = make_side("tale-gpt2", GetParam());
  const auto reference = make_side("tale-gpt2", GetParam());
  const auto& op = std::get<NormLinear>(node_of(tested->graph(), "layers.1.up").op);
  const Weight& bias = tested->step().weight(*op.bias);
  bias.values.row<float>(0)[3] = std::numeric_limits<float>::quiet_NaN();
  bias.values.row<float>(0)[4] = std::numeric_limits<float>::infinity();
  const Comparison comparison = run(*tested, *reference);
  const ValueComparison* first = comparison.first_over_bound();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->value, "layers.1.up");
  EXPECT_EQ(first->num_nan, first->rows);
  EXPECT_EQ(first->num_infinite, first->rows);
  EXPECT_EQ(first->absolute.max, std::numeric_limits<double>::infinity());
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Compare,
                         ::testing::Values(DType::float32, DType::float16, DType::bfloat16),
                         [](const auto& test) { return std::string(dtype_name(test.param)); });

TEST_P(Compare, HoldsScaledCachesToTheirBounds) {
  for (const KvCacheDType kv : {KvCacheDType::int8, KvCacheDType::fp8, KvCacheDType::k16v8}) {
    SCOPED_TRACE(kv_cache_dtype_name(kv));
    const auto reference = make_side("tale-llama", GetParam(), nullptr, kv);
    const auto same = make_side("tale-llama", GetParam(), nullptr, kv);
    const Comparison equal = run(*same, *reference);
    EXPECT_EQ(equal.first_over_bound(), nullptr);
    for (const ValueComparison& value : equal.values) EXPECT_EQ(value.nmse, 0.0) << value.value;
    // A base of the angles that is 0.1 % off moves keys by less than a step of their numbers.
    const Change other_theta = [](OpenedModel& model) {
      auto& node = node_of(model.graph, "layers.1.attention");
      std::get<Attention>(node.op).rope->theta *= 1.001;
    };
    const auto changed = make_side("tale-llama", GetParam(), other_theta, kv);
    const auto again = make_side("tale-llama", GetParam(), nullptr, kv);
    const Comparison different = run(*changed, *again);
    ASSERT_NE(different.first_over_bound(), nullptr);
    for (const ValueComparison& value : different.values) {
      EXPECT_FALSE(value.over_bound && value.node != "layers.1.attention") << value.value;
    }
  }
}

TEST(CompareDtypes, ReportDriftAndHoldItToALimitThatIsGiven) {
  CompareOptions options;
  options.tested.device = DeviceChoice::cpu;
  options.tested.dtype = DType::float16;
  options.reference_dtype = DType::float32;
  const std::string model = testing::demo_model("tale-llama").string();
  for (const bool lock_step : {false, true}) {
    options.lock_step = lock_step;
    options.max_nmse.reset();
    const Comparison comparison = compare(model, two_prompts(), options);
    EXPECT_EQ(comparison.first_over_bound(), nullptr);
    EXPECT_EQ(comparison.steps.size(), 3U);
    const auto is_down = [](const auto& value) { return value.value == "layers.3.down"; };
    const auto down = std::find_if(comparison.values.begin(), comparison.values.end(), is_down);
    EXPECT_GT(down->nmse, 1e-9);
    EXPECT_LT(down->nmse, 1e-4);
    EXPECT_LE(down->absolute.median, down->absolute.max);
    options.max_nmse = down->nmse / 2;
    EXPECT_NE(compare(model, two_prompts(), options).first_over_bound(), nullptr);
  }
}

TEST(CompareSteps, AreToldAndEndWhereTheCallerWants) {
  const auto tested = make_side("tale-llama", DType::float32);
  const auto reference = make_side("tale-llama", DType::float32);
  CompareOptions options;
  options.on_step = [](const ComparedStep&) { return true; };
  const Comparison whole = run(*tested, *reference, options);
  EXPECT_TRUE(whole.complete);
  ASSERT_GE(whole.steps.size(), 3U);
  int num_tokens = 0;
  options.on_step = [&](const ComparedStep& step) {
    num_tokens += step.num_tokens;
    return num_tokens <= whole.steps[0].num_tokens;
  };
  const Comparison part = run(*tested, *reference, options);
  EXPECT_FALSE(part.complete);
  EXPECT_EQ(part.steps.size(), 2U);
  EXPECT_EQ(num_tokens, whole.steps[0].num_tokens + whole.steps[1].num_tokens);
  EXPECT_LT(part.values.size(), whole.values.size());
}

TEST(CompareErrors, NameWhatIsWrong) {
  const std::string model = testing::demo_model("tale-llama").string();
  CompareOptions options;
  options.tested.device = DeviceChoice::cpu;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"prompt"}), compare(model, {}, options));
  options.decode_steps = -1;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"decode_steps", "-1"}),
                     compare(model, two_prompts(), options));
  options.decode_steps = 1;
  options.tested.quantize_activations = ActivationQuantization::int8;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"quantize_activations int8", "checkpoint or token"}),
                     compare(model, two_prompts(), options));
}

TEST(CompareErrors, LockStepNeedsOneKvCacheDtype) {
  const std::string model = testing::demo_model("tale-llama").string();
  CompareOptions options;
  options.tested.device = DeviceChoice::cpu;
  options.tested.kv_cache_dtype = KvCacheDType::int8;
  options.reference_kv_cache_dtype = KvCacheDType::automatic;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument,
                     ({"reference_kv_cache_dtype auto", "expected int8"}),
                     compare(model, two_prompts(), options));
  options.lock_step = false;
  const Comparison comparison = compare(model, two_prompts(), options);
  const auto appended =
      std::find_if(comparison.values.begin(), comparison.values.end(),
                   [](const auto& value) { return value.value == "layers.0.attention.keys"; });
  ASSERT_NE(appended, comparison.values.end());
  EXPECT_GT(appended->nmse, 1e-7) << "of quantized keys";
  EXPECT_LT(appended->nmse, 1e-3);
}

/// A safetensors file with a prompt of integers and one float value.
class ReferenceFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& shape,
                    const std::vector<float>& values) {
    const std::vector<std::int64_t> ids = {5, 6, 7};
    const std::size_t float_bytes = values.size() * sizeof(float);
    std::string header =
        fmt::format(R"({{"prompt_ids":{{"dtype":"I64","shape":[3],"data_offsets":[0,24]}},)"
                    R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[24,{}]}}}})",
                    name, shape, 24 + float_bytes);
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = header.size();
    std::string content(reinterpret_cast<const char*>(&length), sizeof(length));
    content += header;
    content.append(reinterpret_cast<const char*>(ids.data()), 24);
    content.append(reinterpret_cast<const char*>(values.data()), float_bytes);
    return testing::write_file(folder_ / "reference.safetensors", content).string();
  }
  static Comparison compare_llama(const std::string& file, double max_nmse = 1e-10) {
    CompareOptions options;
    options.tested.device = DeviceChoice::cpu;
    options.max_nmse = max_nmse;
    return compare_with_file(testing::demo_model("tale-llama").string(), file, options);
  }

  testing::TempFolder folder_;
};

TEST_F(ReferenceFiles, AreHeldAgainstWhatTheModelComputes) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  const std::vector<std::int32_t> ids = {5, 6, 7};
  Engine engine = Engine::load(testing::demo_model("tale-llama").string(), options);
  std::vector<float> logits = engine.logits(ids);
  const std::string shape = fmt::format("[3, {}]", engine.info().vocab_size);
  const Comparison same = compare_llama(write("logits", shape, logits));
  ASSERT_EQ(same.values.size(), 1U);
  EXPECT_EQ(same.values[0].node, "lm_head");
  EXPECT_EQ(same.values[0].rows, 3);
  EXPECT_EQ(same.values[0].absolute.max, 0.0);

  logits[static_cast<std::size_t>(engine.info().vocab_size) + 17] += 1.0f;
  const Comparison other = compare_llama(write("logits", shape, logits));
  ASSERT_NE(other.first_over_bound(), nullptr);
  EXPECT_EQ(other.values[0].worst_row, 1);
  EXPECT_EQ(other.values[0].worst_col, 17);
}

TEST_F(ReferenceFiles, ThatDoNotFitAreErrors) {
  const std::vector<float> values(3 * 192);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"reference.safetensors", "'layers.9.qkv'"}),
                     compare_llama(write("layers.9.qkv", "[3, 192]", values)));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"'embed'", "[576]", "[3, 192]"}),
                     compare_llama(write("embed", "[576]", values)));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"nowhere"}), compare_llama("/nowhere"));
}

}  // namespace
}  // namespace quern
