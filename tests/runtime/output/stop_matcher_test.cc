#include "runtime/output/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace quern {
namespace {

TEST(StopMatcher, PassesTextThroughWithoutStops) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.add("abc"), "abc");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HoldsBackTheBeginningOfAStop) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.add("the E"), "the ");
  EXPECT_EQ(matcher.add("N"), "");
  EXPECT_EQ(matcher.add("T"), "ENT");
  EXPECT_EQ(matcher.add("EN"), "");
  EXPECT_EQ(matcher.finish(), "EN");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, CutsBeforeTheStopThatIsCompleteFirst) {
  StopMatcher matcher({"three", "two"});
  EXPECT_EQ(matcher.add("one two three"), "one ");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.add("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, FindsAStopThatOverlapsItself) {
  StopMatcher matcher({"aab"});
  EXPECT_EQ(matcher.add("aaa"), "a");
  EXPECT_EQ(matcher.add("b!"), "");
  EXPECT_TRUE(matcher.matched());
}

TEST(StopMatcher, GivesWhatASearchInTheWholeTextGivesHoweverItIsCut) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    const auto letters = [&](std::size_t length) {
      std::string text;
      while (text.size() < length) text += static_cast<char>('a' + random() % 2);
      return text;
    };
    const std::string text = letters(random() % 20);
    const std::vector<std::string> stops = {letters(1 + random() % 4), letters(2 + random() % 5)};
    std::string expected = text;
    for (std::size_t end = 1; end <= text.size() && expected == text; ++end) {
      const std::string_view whole = std::string_view(text).substr(0, end);
      std::size_t shown = end;
      for (const std::string& stop : stops) {
        if (whole.ends_with(stop)) shown = std::min(shown, end - stop.size());
      }
      if (shown < end) expected.resize(shown);
    }

    StopMatcher matcher(stops);
    std::string shown;
    for (std::size_t place = 0; place < text.size();) {
      const std::size_t length = 1 + random() % 3;
      shown += matcher.add(text.substr(place, length));
      EXPECT_TRUE(expected.starts_with(shown)) << text;  // nothing that a stop can remove
      place += length;
    }
    shown += matcher.finish();
    EXPECT_EQ(shown, expected) << text << " " << stops[0] << " " << stops[1];
  }
}

}  // namespace
}  // namespace quern
