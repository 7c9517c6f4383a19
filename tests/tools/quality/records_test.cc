#include "tools/quality/data/records.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern::tools {
namespace {

using Json = nlohmann::json;

class RecordsTest : public ::testing::Test {
 protected:
  RecordReader reader(const std::string& name, const std::string& content) {
    return RecordReader(testing::write_file(folder_ / name, content));
  }
  /// All records as one JSON array.
  Json read_all(const std::string& name, const std::string& content) {
    RecordReader records = reader(name, content);
    Json all = Json::array();
    while (auto record = records.next()) all.push_back(Json::parse(record->text()));
    return all;
  }

  testing::TempFolder folder_;
};

TEST_F(RecordsTest, ReadsJsonLines) {
  const Json expected = {{{"a", 1}}, {{"a", "x\ny"}}};
  EXPECT_EQ(read_all("r.jsonl", "{\"a\": 1}\r\n\n  \n{\"a\": \"x\\ny\"}"), expected);
  EXPECT_EQ(read_all("other-name", "{\"a\": 1}\n{\"a\": \"x\\ny\"}\n"), expected);
  EXPECT_EQ(read_all("empty.jsonl", ""), Json::array());
}

TEST_F(RecordsTest, ReadsTextLines) {
  const Json expected = {{{"text", "one"}}, {{"text", ""}}, {{"text", "{three"}}};
  EXPECT_EQ(read_all("r.txt", "one\r\n\n{three\n"), expected);
  EXPECT_EQ(read_all("r.txt", "\xEF\xBB\xBFone\n\n{three"), expected);
}

TEST_F(RecordsTest, ReadsCsv) {
  const Json expected = {{{"a", "1,\n\"2\""}, {"b c", ""}}, {{"a", "x"}, {"b c", " y\" "}}};
  EXPECT_EQ(read_all("r.csv", "a,b c\n\"1,\n\"\"2\"\"\",\n\nx, y\" \n\n"), expected);
  EXPECT_EQ(read_all("r.csv", "a,\"b c\"\r\n\"1,\n\"\"2\"\"\",\"\"\r\nx, y\" "), expected);
  EXPECT_EQ(read_all("r.csv", "a,b"), Json::array());
}

TEST_F(RecordsTest, NamesTheLineAndGoesOn) {
  RecordReader json = reader("r.jsonl", "{\"a\": 1}\n{\"a\": \n[1]\n\"\xff\"\n{\"b\": 2}\n");
  EXPECT_EQ(json.next()->number("a", 0, 9), 1);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.jsonl:2", "not valid JSON"}), json.next());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.jsonl:3", "expected an object"}), json.next());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.jsonl:4", "JSON"}), json.next());
  EXPECT_EQ(json.next()->number("b", 0, 9), 2);
  EXPECT_FALSE(json.next());

  RecordReader csv = reader("r.csv", "a,b\n\"1\n\",2\n3\n\"4\"x,5\n6,\xff\n7,8\n9,\"open\n");
  EXPECT_EQ(csv.next()->source(), (folder_ / "r.csv:2").string());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.csv:4", "expected 2 fields", "got 1"}), csv.next());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.csv:5", "got 'x'"}), csv.next());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.csv:6", "UTF-8"}), csv.next());
  EXPECT_EQ(csv.next()->string("b"), "8");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.csv:8", "does not end"}), csv.next());
  EXPECT_FALSE(csv.next());

  RecordReader lines = reader("r.txt", "a\n\xff\nb");
  EXPECT_EQ(lines.next()->string("text"), "a");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.txt:2", "UTF-8"}), lines.next());
  EXPECT_EQ(lines.next()->source(), (folder_ / "r.txt:3").string());
}

TEST_F(RecordsTest, ReadsFilesLongerThanAPiece) {
  // Records end at every place of a piece of 1 MiB, and one is longer than several pieces.
  std::string lines;
  std::string csv = "a,b\n";
  std::size_t count = 0;
  for (; lines.size() < 5'000'000; ++count) {
    const std::string text(count == 1000 ? 3'000'000 : count % 97, 'x');
    lines += text + "\r\n";
    csv += '"' + text + "\n\"\"\"," + text + "\r\n";
  }
  for (const auto& [name, content] : {std::pair("r.txt", lines), std::pair("r.csv", csv)}) {
    SCOPED_TRACE(name);
    const Json all = read_all(name, content);
    ASSERT_EQ(all.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string text(i == 1000 ? 3'000'000 : i % 97, 'x');
      if (all[i].contains("text")) {
        ASSERT_EQ(all[i]["text"], text) << i;
      } else {
        ASSERT_EQ(all[i]["a"], text + "\n\"") << i;
        ASSERT_EQ(all[i]["b"], text) << i;
      }
    }
  }
}

TEST_F(RecordsTest, AFileCutShortIsAnError) {
  RecordReader records = reader("r.txt", std::string(5'000'000, '\n'));
  EXPECT_TRUE(records.next());
  std::filesystem::resize_file(folder_ / "r.txt", 1000);
  const auto read_all = [&] {
    while (records.next()) continue;
  };
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.txt", "cut short"}), read_all());
}

TEST_F(RecordsTest, RefusesWhatIsNoFile) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.csv:1", "'a' twice"}), reader("r.csv", "a,b,a\n"));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"nowhere"}), RecordReader(folder_ / "nowhere"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({folder_.path().string()}),
                     RecordReader(folder_.path()));
}

}  // namespace
}  // namespace quern::tools
