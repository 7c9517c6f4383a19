#include "tools/server/http/request_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace quern::tools {
namespace {

using State = RequestReader::State;

/// Feeds `bytes` in pieces of `cut`, as a connection does; the state behind them.
State feed(RequestReader& reader, const std::string& bytes, std::size_t cut) {
  std::string in;
  for (std::size_t at = 0; at < bytes.size(); at += cut) {
    in += bytes.substr(at, cut);
    std::size_t used = 0;
    const State state = reader.feed(in, used);
    in.erase(0, used);
    if (state != State::more) return state;
  }
  return State::more;
}

TEST(RequestReaderTest, IsTheSameHoweverItIsCut) {
  const std::string plain =
      "POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nX-Api-Key: k\r\nContent-Length: 5\r\n\r\n"
      "hello";
  const std::string chunked =
      "POST /v1/completions?x=1 HTTP/1.1\r\nHost: a\r\nx-api-key: k\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n";
  for (const std::string& text : {plain, chunked}) {
    for (const std::size_t cut : {1, 2, 7, 1000}) {
      SCOPED_TRACE(cut);
      RequestReader reader({});
      ASSERT_EQ(feed(reader, text, cut), State::done) << reader.error();
      const HttpRequest request = reader.take();
      EXPECT_EQ(request.method, "POST");
      EXPECT_EQ(request.path(), "/v1/completions");
      EXPECT_EQ(request.headers.get("X-API-KEY"), "k");
      EXPECT_EQ(request.body, "hello");
      EXPECT_TRUE(request.keep_alive);
    }
  }
}

TEST(RequestReaderTest, RefusesWhatIsTooLargeOrNoHttp) {
  HttpLimits limits;
  limits.max_header_bytes = 1000;
  limits.max_body_bytes = 100;
  const auto status = [&](const std::string& text, std::size_t cut) {
    RequestReader reader(limits);
    return feed(reader, text, cut) == State::failed ? reader.error_status() : 0;
  };
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::size_t cut : {1, 64, 100000}) {
    SCOPED_TRACE(cut);
    EXPECT_EQ(status(head + "X: " + std::string(2000, 'x') + "\r\n\r\n", cut), 431);
    EXPECT_EQ(status("GET /" + std::string(2000, 'x') + " HTTP/1.1\r\n\r\n", cut), 431);
    EXPECT_EQ(status(head + "Content-Length: 101\r\n\r\n" + std::string(101, 'x'), cut), 413);
    EXPECT_EQ(status(head + "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') +
                         "\r\n0\r\n\r\n",
                     cut),
              413);
    EXPECT_EQ(status(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhe\r\n", cut), 400);
    EXPECT_EQ(status(head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhexx\r\n", cut), 400);
    EXPECT_EQ(status(head + "Content-Length: -1\r\n\r\n", cut), 400);
    EXPECT_EQ(status("GARBAGE\r\n\r\n", cut), 400);
    EXPECT_EQ(status("GET / HTTP/1.1\r\n: empty\r\n\r\n", cut), 400);
    EXPECT_EQ(status(std::string(3000, '\0'), cut), 400);
  }
}

TEST(RequestReaderTest, RefusesTwoLengths) {
  RequestReader reader({});
  EXPECT_EQ(feed(reader,
                 "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n0\r\n\r\n",
                 1000),
            State::failed);
}

TEST(RequestReaderTest, TakesOneRequestAfterAnother) {
  RequestReader reader({});
  const std::string two = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
  std::size_t used = 0;
  ASSERT_EQ(reader.feed(two, used), State::done);
  EXPECT_EQ(reader.take().target, "/a");
  const std::string rest = two.substr(used);
  ASSERT_EQ(reader.feed(rest, used), State::done);
  EXPECT_EQ(reader.take().target, "/b");
  EXPECT_EQ(used, rest.size());
}

TEST(RequestReaderTest, TellsOnceThatTheClientWaits) {
  RequestReader reader({});
  std::size_t used = 0;
  reader.feed("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
              used);
  EXPECT_TRUE(reader.wants_continue());
  EXPECT_FALSE(reader.wants_continue());
}

}  // namespace
}  // namespace quern::tools
