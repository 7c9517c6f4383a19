#include "runtime/output/sequence_output.h"

#include <gtest/gtest.h>

#include "tests/runtime/fake_tokenizer.h"

namespace quern {
namespace {

class SequenceOutputTest : public ::testing::Test {
 protected:
  SequenceOutput make(const Request& request, int limit = 100,
                      FinishReason reason = FinishReason::length) {
    Result result;
    result.id = 7;
    const std::int32_t eos_token_ids[] = {0};
    return {tokenizer_, request, result, eos_token_ids, limit, reason};
  }
  static void accept(SequenceOutput& output, std::string_view bytes) {
    for (const char byte : bytes) output.accept({static_cast<unsigned char>(byte), -1.0f, {}});
  }

  testing::ByteTokenizer tokenizer_;
};

TEST_F(SequenceOutputTest, EndsAtAnEndIdWhichIsNotText) {
  SequenceOutput output = make({});
  accept(output, std::string_view("ab\0cd", 5));
  const Result result = output.take_result();
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.output_ids, (std::vector<std::int32_t>{'a', 'b', 0}));
  EXPECT_EQ(result.finish_reason, FinishReason::stop);
}

TEST_F(SequenceOutputTest, DropsOvershootAfterAStopString) {
  Request request;
  request.stop = {"cd"};
  SequenceOutput output = make(request);
  accept(output, "abcdef");
  const Result result = output.take_result();
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.output_ids.size(), 4u);
  EXPECT_EQ(result.finish_reason, FinishReason::stop_string);
}

TEST_F(SequenceOutputTest, StopStringsMatchSpecialTokensThatAreNotShown) {
  Request request;
  request.ignore_eos = true;
  for (const bool keep_special : {false, true}) {
    request.keep_special = keep_special;
    request.stop = {"<end>c"};
    SequenceOutput output(tokenizer_, request, {}, {}, 100, FinishReason::length);
    accept(output, std::string_view("a\0b\0cd", 6));
    const Result result = output.take_result();
    EXPECT_EQ(result.finish_reason, FinishReason::stop_string);
    EXPECT_EQ(result.output_ids.size(), 5u);
    EXPECT_EQ(result.text, keep_special ? "a<end>b" : "ab");
  }
}

TEST_F(SequenceOutputTest, EndsAtTheLimitWithItsReason) {
  SequenceOutput output = make({}, 2, FinishReason::context);
  accept(output, "abc");
  const Result result = output.take_result();
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.finish_reason, FinishReason::context);
}

TEST_F(SequenceOutputTest, HasNothingToSayWhenThereIsNoRoom) {
  SequenceOutput output = make({}, 0, FinishReason::context);
  ASSERT_TRUE(output.finished());
  EXPECT_EQ(output.take_update().finish_reason, FinishReason::context);
}

TEST_F(SequenceOutputTest, UpdatesJoinToTheText) {
  Request request;
  request.stop = {"xyz"};
  SequenceOutput output = make(request);
  std::string text;
  for (const char* part : {"ax", "y", "b\xc3", "\xa9", "xy"}) {
    accept(output, part);
    text += output.take_update().text;
  }
  EXPECT_EQ(text, "axybé");
  output.finish(FinishReason::cancelled);
  const Update last = output.take_update();
  EXPECT_EQ(last.text, "xy");
  EXPECT_EQ(last.id, 7u);
  EXPECT_EQ(last.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(output.take_result().text, "axybéxy");
}

TEST_F(SequenceOutputTest, HalfACharacterAtTheEndIsReplaced) {
  SequenceOutput output = make({}, 2);
  accept(output, "a\xc3");
  EXPECT_EQ(output.take_result().text, "a\xef\xbf\xbd");
}

TEST_F(SequenceOutputTest, IdsBeyondTheTokenizerHaveNoText) {
  SequenceOutput output = make({});
  accept(output, "a");
  output.accept({5000, -1.0f, {}});
  accept(output, "b");
  output.finish(FinishReason::cancelled);
  EXPECT_EQ(output.take_result().text, "ab");
}

TEST_F(SequenceOutputTest, KeepsLogprobsOnlyWhenAskedFor) {
  SequenceOutput without = make({}, 1);
  accept(without, "a");
  EXPECT_TRUE(without.take_result().logprobs.empty());
  Request request;
  request.top_logprobs = 1;
  SequenceOutput with = make(request, 1);
  with.accept({'a', -0.5f, {{'a', -0.5f}}});
  const Result result = with.take_result();
  ASSERT_EQ(result.logprobs.size(), 1u);
  EXPECT_EQ(result.logprobs[0].top[0].id, 'a');
}

}  // namespace
}  // namespace quern
