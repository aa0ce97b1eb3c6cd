#include "protocol/http/request_parser.h"

#include <doctest/doctest.h>

#include <vector>

namespace rt::http {
namespace {

struct Outcome {
  std::vector<Request> requests;
  int refused = 0;
};

// Feeds the bytes in pieces of the given size, keeping what a piece leaves over, as a connection does.
Outcome parse(const std::string& bytes, std::size_t piece = 1 << 20, ParserLimits limits = {}) {
  Outcome outcome;
  RequestParser parser(limits);
  std::string left;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    left += bytes.substr(at, piece);
    std::string_view in = left;
    for (;;) {
      const auto complete = parser.feed(in);
      if (!complete) {
        outcome.refused = complete.error().status;
        CHECK(!complete.error().reason.empty());
        return outcome;
      }
      if (!*complete) break;
      outcome.requests.push_back(parser.take());
      if (in.empty()) break;
    }
    left = std::string(in);
  }
  return outcome;
}

const std::string kGet = "GET /a/b?x=1&y=a%20b+c HTTP/1.1\r\nHost: Acme.Example.Test:4000\r\nX-Thing:  v \r\n\r\n";

TEST_CASE("a request is read alike however it is cut, and requests may follow each other") {
  const std::string post = "POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhello";
  const std::string chunked =
      "POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  for (const std::size_t piece : {1, 2, 7, 1000}) {
    CAPTURE(piece);
    const Outcome outcome = parse(kGet + post + chunked + kGet, piece);
    REQUIRE(outcome.refused == 0);
    REQUIRE(outcome.requests.size() == 4);
    const Request& get = outcome.requests[0];
    CHECK(get.method == "GET");
    CHECK(get.path() == "/a/b");
    CHECK(get.host() == "acme.example.test");
    CHECK(get.header("x-thing") == "v");
    CHECK(!get.header("x-other"));
    CHECK(parse_query(get.query()) == std::vector<std::pair<std::string, std::string>>{{"x", "1"}, {"y", "a b c"}});
    CHECK(outcome.requests[1].body == "hello");
    CHECK(outcome.requests[2].body == "abcde");
  }
}

TEST_CASE("each limit has its status [H-009] [H-011]") {
  const auto with_line = [](std::size_t bytes) {
    return "GET /" + std::string(bytes - 14, 'a') + " HTTP/1.1\r\nhost: h\r\n\r\n";
  };
  CHECK(parse(with_line(8000)).requests.size() == 1);
  CHECK(parse(with_line(8001)).refused == 414);
  CHECK(parse("GET /" + std::string(9000, 'a')).refused == 414);
  const auto with_header = [](std::size_t bytes) {
    return "GET / HTTP/1.1\r\nhost: h\r\nx: " + std::string(bytes, 'v') + "\r\n\r\n";
  };
  CHECK(parse(with_header(4096)).requests.size() == 1);
  CHECK(parse(with_header(4097)).refused == 431);
  CHECK(parse("GET / HTTP/1.1\r\nhost: " + std::string(256, 'h') + "\r\n\r\n").refused == 431);
  std::string many = "GET / HTTP/1.1\r\nhost: h\r\n";
  for (int i = 0; i < 99; ++i) many += "a" + std::to_string(i) + ": b\r\n";
  CHECK(parse(many + "\r\n").requests.size() == 1);
  CHECK(parse(many + "one: more\r\n\r\n").refused == 431);
  std::string block = "GET / HTTP/1.1\r\nhost: h\r\n";
  for (int i = 0; i < 20; ++i) block += "a" + std::to_string(i) + ": " + std::string(4000, 'b') + "\r\n";
  CHECK(parse(block).refused == 431);
  CHECK(parse("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 8000001\r\n\r\n").refused == 413);
  const ParserLimits small{.body_bytes_max = 10};
  CHECK(parse("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n", 1 << 20,
              small)
            .refused == 413);
}

TEST_CASE("what is not HTTP/1.1 is refused at once") {
  for (const char* bytes :
       {"rubbish\r\n", "GET /\r\n", "GET / HTTP/1.1\nhost: h\n\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"}) {
    CAPTURE(bytes);
    CHECK(parse(bytes).refused == 400);
  }
}

TEST_CASE("chunks are read however they are cut, with extensions and trailers, and broken ones are refused") {
  const std::string head = "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const std::size_t piece : {1, 3, 1000}) {
    CAPTURE(piece);
    const Outcome good =
        parse(head + "3;a=b\r\nabc\r\n0A \r\n0123456789\r\n0;x=y\r\nT: r\r\nU: s\r\n\r\n" + kGet, piece);
    REQUIRE(good.requests.size() == 2);
    CHECK(good.requests[0].body == "abc0123456789");
    for (const char* bad : {"3\r\nabcd\r\n", "3\nabc\r\n", "\r\n", "-1\r\n", "3x\r\n", "0\r\nno colon\r\n\r\n",
                            "0\r\nabc\r\n0;x=y\r\nd\r\n\r\n"}) {
      CAPTURE(bad);
      CHECK(parse(head + bad, piece).refused == 400);
    }
    CHECK(parse(head + "3;" + std::string(5000, 'x'), piece).refused == 400);
    CHECK(parse(head + "fffffffffffffffff\r\n", piece).refused == 413);
  }
  CHECK(parse("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip\r\n\r\n").refused == 400);
}

TEST_CASE("a body takes no more memory than it is long, whatever the pieces it comes in, and none before it comes") {
  constexpr std::size_t kLength = 4'900'000;
  const std::string head = "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: " + std::to_string(kLength) + "\r\n\r\n";
  for (const std::size_t first : {1, 1000, 37'000, 60'000, 65'000, 3'000'000}) {
    CAPTURE(first);
    RequestParser parser({});
    std::size_t sent = 0;
    const auto feed = [&parser, &sent](std::string text) {
      std::string_view in = text;
      sent += text.size();
      return *parser.feed(in);
    };
    CHECK(!feed(head + std::string(first, 'x')));
    CHECK(parser.bytes_held() < 2 * first + 1000);
    const std::size_t whole = head.size() + kLength;
    while (!feed(std::string(std::min<std::size_t>(65'536, whole - sent), 'x'))) {
      CHECK(parser.bytes_held() < kLength + 1000);
    }
    CHECK(parser.take().body.capacity() == kLength);
  }
}

TEST_CASE("a client that waits for 100 Continue is noticed once") {
  RequestParser parser({});
  std::string_view in = "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
  CHECK(!*parser.feed(in));
  CHECK(parser.take_expects_continue());
  CHECK(!parser.take_expects_continue());
}

TEST_CASE("a target in absolute form names path, query and host") {
  const auto request = [](std::string target) {
    return Request{.method = "GET", .target = std::move(target), .headers = {{"host", "other"}}};
  };
  CHECK(request("http://Acme.test:4000/healthcheck?a=1").path() == "/healthcheck");
  CHECK(request("http://Acme.test:4000/healthcheck?a=1").query() == "a=1");
  CHECK(request("http://Acme.test:4000/healthcheck?a=1").host() == "acme.test");
  CHECK(request("HTTPS://acme.test").path() == "/");
  CHECK(request("HTTPS://acme.test").host() == "acme.test");
  CHECK(request("http://acme.test?x=/y").path() == "/");
  CHECK(request("http://acme.test?x=/y").host() == "acme.test");
  CHECK(request("/http://acme.test").host() == "other");
  CHECK(request("/http://acme.test").path() == "/http://acme.test");
}

TEST_CASE("list headers are searched token by token") {
  const Request request{.headers = {{"connection", "keep-alive, Upgrade"}, {"upgrade", "WebSocket"}}};
  CHECK(request.has_token("connection", "upgrade"));
  CHECK(request.has_token("upgrade", "websocket"));
  CHECK(!request.has_token("connection", "up"));
}

TEST_CASE("responses carry their length, and HEAD gets no body") {
  const Response response = Response::text(200, "ok");
  const std::string get = serialize(response, BodyOf::kGet, true, "D");
  CHECK(get == "HTTP/1.1 200 OK\r\ndate: D\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 2\r\n\r\nok");
  CHECK(serialize(response, BodyOf::kHead, false, "D") ==
        "HTTP/1.1 200 OK\r\ndate: D\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 2\r\nconnection: "
        "close\r\n\r\n");
  CHECK(http_date(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace rt::http
