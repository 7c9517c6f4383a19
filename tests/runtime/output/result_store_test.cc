#include "runtime/output/result_store.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

Result result_of(RequestId id) {
  Result result;
  result.id = id;
  result.text = std::to_string(id);
  return result;
}

TEST(ResultStore, HandsOutEachResultOnce) {
  ResultStore store(4);
  store.add(result_of(7));
  store.add(result_of(3));
  EXPECT_EQ(store.take(7)->text, "7");
  EXPECT_FALSE(store.take(7));
  EXPECT_FALSE(store.take(8));
  EXPECT_EQ(store.take(3)->text, "3");
}

TEST(ResultStore, DropsTheOldestRequestsBeyondItsCapacityWhenTrimmed) {
  ResultStore store(3);
  for (const RequestId id : {5, 1, 4, 2, 3}) store.add(result_of(id));
  EXPECT_TRUE(store.take(1)) << "nothing goes before a trim";
  store.add(result_of(1));
  store.trim();
  for (const RequestId id : {1, 2}) EXPECT_FALSE(store.take(id));
  for (const RequestId id : {3, 4, 5}) EXPECT_TRUE(store.take(id));
}

}  // namespace
}  // namespace quern
