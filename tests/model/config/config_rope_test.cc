#include "model/config/config_rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/config/config.h"
#include "tests/model/config/config_files.h"
#include "tests/model/real_configs.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::config_of;
using testing::kLlama31_8BInstruct;
using testing::kLlama3_8B;
using testing::kQwen25_7B;

Rope rope_of(const char* config, std::string_view patch = "{}") {
  return config_of(config, patch).rope.value();
}

TEST(ConfigRope, Llama3) {
  const Rope rope = rope_of(kLlama31_8BInstruct);
  EXPECT_EQ(rope.type, RopeType::llama3);
  EXPECT_EQ(rope.theta, 5e5);
  EXPECT_EQ(rope.factor, 8.0);
  EXPECT_EQ(rope.low_freq_factor, 1.0);
  EXPECT_EQ(rope.high_freq_factor, 4.0);
  EXPECT_EQ(rope.original_max_position, 8192);
}

TEST(ConfigRope, Transformers5Spelling) {
  const Rope rope = rope_of(kLlama31_8BInstruct, R"({
      "rope_theta": null, "rope_scaling": null, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 250000.0, "factor": 4, "low_freq_factor": 2,
        "high_freq_factor": 6, "original_max_position_embeddings": 4096}})");
  EXPECT_EQ(rope.type, RopeType::llama3);
  EXPECT_EQ(rope.theta, 250000.0);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(rope.low_freq_factor, 2.0);
  EXPECT_EQ(rope.high_freq_factor, 6.0);
  EXPECT_EQ(rope.original_max_position, 4096);
}

TEST(ConfigRope, ThetaOfTheSectionGoesFirst) {
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"rope_parameters": {"rope_theta": 7.0}})").theta, 7.0);
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"rope_parameters": {"rope_type": "default"}})").theta, 5e5);
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"rope_theta": null})").theta, 1e4);
}

TEST(ConfigRope, TrainedLengthOfTheTopLevelGoesFirst) {
  EXPECT_EQ(rope_of(kLlama31_8BInstruct, R"({"original_max_position_embeddings": 1000})")
                .original_max_position,
            1000);
  EXPECT_EQ(rope_of(kLlama31_8BInstruct,
                    R"({"rope_scaling": {"original_max_position_embeddings": null}})")
                .original_max_position,
            131072);
}

TEST(ConfigRope, ScalingGoesBeforeParameters) {
  const Rope rope = rope_of(kLlama3_8B, R"({"rope_scaling": {"type": "linear", "factor": 2},
      "rope_parameters": {"rope_type": "dynamic", "factor": 3, "rope_theta": 7}})");
  EXPECT_EQ(rope.type, RopeType::linear);
  EXPECT_EQ(rope.factor, 2.0);
  EXPECT_EQ(rope.theta, 5e5);
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"rope_scaling": {},
                "rope_parameters": {"rope_type": "linear", "factor": 3}})")
                .factor,
            3.0);
}

TEST(ConfigRope, Longrope) {
  std::string factors = "[1.5";
  for (int i = 1; i < 64; ++i) factors += ", 2.0";
  const Rope rope =
      rope_of(kLlama3_8B, R"({"rope_scaling": {"type": "longrope", "short_factor": )" + factors +
                              R"(], "long_factor": )" + factors +
                              R"(], "original_max_position_embeddings": 4096}})");
  EXPECT_EQ(rope.type, RopeType::longrope);
  EXPECT_EQ(rope.factor, 2.0);  // max_position_embeddings / original_max_position_embeddings
  EXPECT_EQ(rope.short_factors[0], 1.5f);
  EXPECT_EQ(rope.long_factors[63], 2.0f);
  EXPECT_NEAR(rope.attention_factor, std::sqrt(1.0 + 1.0 / 12.0), 1e-12);
}

TEST(ConfigRope, WhereThePositionsEnd) {
  const auto context = [](const char* patch) {
    return defined_context(config_of(kLlama3_8B, patch));
  };
  EXPECT_EQ(context("{}"), 8192);
  EXPECT_EQ(context(R"({"rope_scaling": {"type": "linear", "factor": 2.5}})"), 20480);
  EXPECT_EQ(context(R"({"rope_scaling": {"type": "linear", "factor": 0.5}})"), 8192);
  EXPECT_EQ(context(R"({"rope_scaling": {"type": "dynamic", "factor": 4}})"), 32768);
  EXPECT_EQ(context(R"({"rope_scaling": {"type": "yarn", "factor": 4,
                        "original_max_position_embeddings": 1024}})"),
            8192);
  EXPECT_EQ(context(R"({"rope_scaling": {"type": "yarn", "factor": 4}})"), 32768);
}

TEST(ConfigRope, LinearAndDynamic) {
  const Rope linear = rope_of(kLlama3_8B, R"({"rope_scaling": {"type": "linear", "factor": 2}})");
  EXPECT_EQ(linear.type, RopeType::linear);
  EXPECT_EQ(linear.factor, 2.0);
  const Rope dynamic =
      rope_of(kLlama3_8B, R"({"rope_scaling": {"type": "dynamic", "factor": 2.5}})");
  EXPECT_EQ(dynamic.type, RopeType::dynamic);
  EXPECT_EQ(dynamic.factor, 2.5);
  // Hugging Face measures dynamic's growth from the context length, whatever else is written.
  EXPECT_EQ(dynamic.original_max_position, 8192);
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"rope_scaling": {
                "type": "dynamic", "factor": 2, "original_max_position_embeddings": 10}})")
                .original_max_position,
            8192);
}

TEST(ConfigRope, Yarn) {
  const Rope rope = rope_of(kQwen25_7B, R"({"rope_scaling": {
      "factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}})");
  EXPECT_EQ(rope.type, RopeType::yarn);
  EXPECT_EQ(rope.factor, 4.0);
  EXPECT_EQ(rope.original_max_position, 32768);
  EXPECT_EQ(rope.beta_fast, 32.0);
  EXPECT_EQ(rope.beta_slow, 1.0);
  EXPECT_TRUE(rope.truncate);
  EXPECT_NEAR(rope.attention_factor, 1.138629436111989, 1e-12);  // transformers 5.23
}

TEST(ConfigRope, YarnWithEveryKey) {
  const Rope rope = rope_of(kQwen25_7B, R"({"rope_scaling": {
      "factor": 40, "original_max_position_embeddings": 4096, "rope_type": "yarn",
      "beta_fast": 16, "beta_slow": 2, "truncate": false, "attention_factor": 0.75}})");
  EXPECT_EQ(rope.beta_fast, 16.0);
  EXPECT_EQ(rope.beta_slow, 2.0);
  EXPECT_FALSE(rope.truncate);
  EXPECT_EQ(rope.attention_factor, 0.75);
}

TEST(ConfigRope, YarnMscale) {
  const auto attention_factor = [](const char* mscales) {
    const std::string section = R"({"rope_type": "yarn", "factor": 40)" + std::string(mscales);
    return rope_of(kQwen25_7B, R"({"rope_scaling": )" + section + "}}").attention_factor;
  };
  EXPECT_NEAR(attention_factor(R"(, "mscale": 1.0, "mscale_all_dim": 0.5)"), 1.1557219901962608,
              1e-12);  // transformers 5.23
  const double plain = 0.1 * std::log(40.0) + 1.0;
  EXPECT_NEAR(attention_factor(R"(, "mscale": 1.0, "mscale_all_dim": 0)"), plain, 1e-12);
  EXPECT_NEAR(attention_factor(R"(, "mscale": 0.5)"), plain, 1e-12);
}

TEST(ConfigRope, YarnFactorFromTheLengths) {
  EXPECT_EQ(rope_of(kQwen25_7B, R"({"rope_scaling": {
                "rope_type": "yarn", "original_max_position_embeddings": 32768}})")
                .factor,
            4.0);
}

TEST(ConfigRope, PartialRotaryFactorOfOne) {
  EXPECT_EQ(rope_of(kLlama3_8B, R"({"partial_rotary_factor": 1.0})").rotary_dim, 128);
}

TEST(ConfigRope, Unsupported) {
  const std::pair<const char*, std::string_view> cases[] = {
      {R"({"rope_scaling": {"rope_type": "mrope"}})", "rope_scaling.rope_type"},
      {R"({"rope_parameters": {"rope_type": "spiral"}})",
       "default, linear, dynamic, llama3, yarn, longrope"},
      {R"({"rope_scaling": {"type": "default", "mrope_section": [1]}})", "mrope_section"},
      {R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})", "full_attention"},
      {R"({"rope_parameters": {"rope_type": "linear", "factor": 2, "partial_rotary_factor": 0.5}})",
       "partial_rotary_factor"},
      {R"({"partial_rotary_factor": 0.5, "rope_scaling": {"type": "linear", "factor": 2}})",
       "partial_rotary_factor"}};
  for (const auto& [patch, part] : cases) {
    SCOPED_TRACE(patch);
    testing::expect_error(ErrorCode::unsupported, {"config.json", part},
                          [&, p = patch] { config_of(kLlama3_8B, p); });
  }
}

TEST(ConfigRope, BadValues) {
  const std::pair<const char*, std::string_view> cases[] = {
      {R"({"rope_theta": 0})", "rope_theta"},
      {R"({"rope_theta": 1.0})", "rope_theta"},
      {R"({"rope_theta": "10000"})", "rope_theta"},
      {R"({"rope_scaling": "linear"})", "rope_scaling"},
      {R"({"rope_scaling": {"type": 3}})", "rope_scaling.type"},
      {R"({"rope_scaling": {"type": "linear"}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "linear", "factor": 0}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "longrope", "factor": 2}})", "rope_scaling.short_factor"},
      {R"({"rope_scaling": {"type": "longrope", "factor": 2, "short_factor": [1, 2]}})",
       "64 positive numbers"},
      {R"({"rope_scaling": {"type": "linear", "factor": 1e99}})", "rope_scaling.factor"},
      {R"({"rope_scaling": {"type": "dynamic", "factor": null}})", "rope_scaling.factor"},
      {R"({"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2}})", "at least 4"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8}})", "rope_scaling.low_freq_factor"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1}})",
       "rope_scaling.high_freq_factor"},
      {R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 0,
                            "high_freq_factor": 4}})",
       "rope_scaling.low_freq_factor"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4,
                            "original_max_position_embeddings": 0}})",
       "rope_scaling.original_max_position_embeddings"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 0}})",
       "attention_factor"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4, "mscale": -1}})", "mscale"},
      {R"({"rope_scaling": {"type": "yarn", "factor": 4, "truncate": 1}})", "truncate"}};
  for (const auto& [patch, part] : cases) {
    SCOPED_TRACE(patch);
    testing::expect_error(ErrorCode::bad_file, {"config.json", part},
                          [&, p = patch] { config_of(kLlama3_8B, p); });
  }
}

}  // namespace
}  // namespace quern
