#include "services/ops/static_files.h"

#include <doctest/doctest.h>

#include "protocol/http/gzip.h"

namespace rt::ops {
namespace {

const StaticFile& file_of(const StaticFiles& files, std::string_view path) {
  const StaticFile* file = files.find(path);
  REQUIRE_MESSAGE(file != nullptr, path);
  return *file;
}

std::string header_of(const http::Response& response, std::string_view name) {
  for (const http::Header& header : response.headers) {
    if (header.name == name) return header.value;
  }
  return "";
}

http::Request get(std::string target, std::vector<http::Header> headers = {}) {
  return {.method = "GET", .target = std::move(target), .headers = std::move(headers)};
}

TEST_CASE("a file is loaded once, and everybody is sent the same copy") {
  StaticFiles files(swagger_ui_files());
  CHECK(files.find("/swaggerui/nothing") == nullptr);
  const StaticFile& page = file_of(files, "/swaggerui");
  for (const Coding coding : {Coding::kNone, Coding::kGzip}) {
    CHECK(files.ready(page, coding) == nullptr);
    const auto body = files.load(page, coding);
    CHECK(files.ready(page, coding) == body);
    CHECK(files.load(page, coding) == body);
  }
  CHECK(files.load(page, Coding::kNone)->find("<title>Swagger UI</title>") != std::string::npos);
  CHECK(http::gunzip(*files.load(page, Coding::kGzip)) == *files.load(page, Coding::kNone));
}

TEST_CASE("each coding of a file has a name of its own for caches, and who has it is not sent it again") {
  const StaticFiles files(swagger_ui_files());
  const StaticFile& script = file_of(files, "/swaggerui/swagger-ui-bundle.js");
  const std::string plain = header_of(answer_with(script, Coding::kNone, nullptr), "etag");
  const std::string packed = header_of(answer_with(script, Coding::kGzip, nullptr), "etag");
  CHECK(plain != packed);
  for (const std::string& known : {packed, "W/" + packed, "\"x\", " + packed, std::string("*")}) {
    const auto answer =
        answer_without_body(get("/swaggerui/swagger-ui-bundle.js", {{"if-none-match", known}}), script, Coding::kGzip);
    REQUIRE(answer);
    CHECK(answer->status == 304);
    CHECK(header_of(*answer, "etag") == packed);
  }
  CHECK(!answer_without_body(get("/", {{"if-none-match", plain}}), script, Coding::kGzip));
  CHECK(!answer_without_body(get("/"), script, Coding::kGzip));
}

TEST_CASE("a page is for those who take HTML, without a slash at its end") {
  const StaticFiles files(swagger_ui_files());
  const StaticFile& page = file_of(files, "/swaggerui");
  const auto status = [&](std::string target, std::vector<http::Header> headers) {
    const auto answer = answer_without_body(get(std::move(target), std::move(headers)), page, Coding::kNone);
    return answer ? answer->status : 200;
  };
  CHECK(status("/swaggerui", {}) == 200);
  CHECK(status("/swaggerui", {{"accept", "text/html,application/xhtml+xml"}}) == 200);
  CHECK(status("/swaggerui", {{"accept", "application/json"}}) == 406);
  CHECK(status("/swaggerui/", {}) == 302);
}

}  // namespace
}  // namespace rt::ops
