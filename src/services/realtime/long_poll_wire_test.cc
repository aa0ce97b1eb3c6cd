#include "services/realtime/long_poll_wire.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "base/base64.h"

namespace rt::realtime {
namespace {

http::Request posted(std::string body, std::string type = "application/x-ndjson") {
  return {.method = "POST", .headers = {{"content-type", std::move(type)}}, .body = std::move(body)};
}

using Frames = std::vector<std::pair<ws::Opcode, std::string>>;
Frames frames(const http::Request& request) {
  Frames out;
  PostedFrames posted(request);
  std::string decoded;
  while (const auto frame = posted.next(decoded)) out.emplace_back(frame->opcode, frame->bytes);
  return out;
}

constexpr auto kText = ws::Opcode::kText;
constexpr auto kBinary = ws::Opcode::kBinary;

TEST_CASE("a token leads to the worker that has the session, and no two are alike") {
  SystemRandom random;
  for (const int worker : {0, 9, 63}) {
    const std::string token = LongPollToken::make(worker, random);
    CHECK(LongPollToken::worker_of(token) == static_cast<std::size_t>(worker));
    CHECK(token != LongPollToken::make(worker, random));
    CHECK(token.size() == 34);
  }
  for (const std::string& foreign : {std::string(), std::string("null"), std::string(34, 'x'), std::string(33, '0'),
                                     "-1" + std::string(32, '0'), "0x" + std::string(32, '0')})
    CHECK(!LongPollToken::worker_of(foreign));
}

TEST_CASE("the token is that of the query, else that of the header") {
  http::Request request{.target = "/socket/longpoll?apikey=k&token=a%62"};
  CHECK(token_of(request) == "ab");
  request.headers = {{"x-phoenix-longpoll-token", "header"}};
  CHECK(token_of(request) == "ab");
  request.target = "/socket/longpoll?apikey=k&";
  CHECK(token_of(request) == "header");
  request.target = "/socket/longpoll?token=";
  CHECK(token_of(request) == "header");
}

TEST_CASE("a POST has one frame, or with application/x-ndjson one in each line") {
  const std::string two = "[1]\n[2]";
  CHECK(frames(posted(two, "application/json")) == Frames{{kText, two}});
  CHECK(frames(posted(two, "text/plain;charset=UTF-8")) == Frames{{kText, two}});
  CHECK(frames(posted("", "application/json")) == Frames{{kText, ""}});
  CHECK(frames({.method = "POST", .body = two}) == Frames{{kText, two}});
  CHECK(frames(posted(two)) == Frames{{kText, "[1]"}, {kText, "[2]"}});
  CHECK(frames(posted("\r\n[1]\r\n\n{\"topic\":1}\n", "Application/X-NDJSON; charset=utf-8")) ==
        Frames{{kText, "[1]"}, {kText, "{\"topic\":1}"}});
  CHECK(frames(posted("")).empty());
}

TEST_CASE("a line of base64 is a binary frame, any other line is the text that it is") {
  CHECK(frames(posted("AAEC\n [1]\n/w==\nno base64!\n")) ==
        Frames{{kBinary, std::string("\0\1\2", 3)}, {kText, " [1]"}, {kBinary, "\xff"}, {kText, "no base64!"}});
  CHECK(frames(posted("AAEC", "application/json")) == Frames{{kText, "AAEC"}});
}

TEST_CASE("too many frames and too large ones are told before any of them is taken") {
  std::string body;
  for (std::size_t i = 0; i < kPostedFramesMax; ++i) body += "[]\n";
  CHECK(!PostedFrames(posted(body)).fault());
  CHECK(PostedFrames(posted(body + "\n")).fault());
  CHECK(PostedFrames(posted(body + "[]")).fault()->find("1000 frames") != std::string::npos);
  CHECK(!PostedFrames(posted("[" + std::string(4'999'999, ' '), "application/json")).fault());
  CHECK(PostedFrames(posted("[" + std::string(5'000'000, ' '), "application/json")).fault());
  CHECK(PostedFrames(posted("[]\n[" + std::string(5'000'000, ' '))).fault());
  CHECK(!PostedFrames(posted(base64_encode(std::string(4'999'998, 'x')))).fault());
  CHECK(PostedFrames(posted(base64_encode(std::string(5'000'001, 'x')))).fault());
}

TEST_CASE("answers carry their status in the body, for pages of any origin") {
  CHECK(opened_answer("t").body == R"({"status":410,"token":"t","messages":[]})");
  CHECK(messages_answer("t", R"(["a"])").body == R"({"status":200,"token":"t","messages":["a"]})");
  CHECK(no_messages_answer("t").body == R"({"status":204,"token":"t","messages":[]})");
  CHECK(posted_answer().body == R"({"status":200})");
  CHECK(gone_answer().body == R"({"status":410})");
  const http::Response refused = refused_answer(413, 413, "a \"frame\"");
  CHECK(refused.status == 413);
  CHECK(refused.body == R"({"status":413,"error":"a \"frame\""})");
  for (const auto& response : {opened_answer("t"), gone_answer(), refused}) {
    CHECK(response.headers.back().name == "access-control-allow-origin");
    CHECK(response.headers.back().value == "*");
  }
}

}  // namespace
}  // namespace rt::realtime
