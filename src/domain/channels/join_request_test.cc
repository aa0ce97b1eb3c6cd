#include "domain/channels/join_request.h"

#include <doctest/doctest.h>

#include "protocol/json/value.h"

namespace rt::channels {
namespace {

// Of a literal only: the request keeps pieces of it.
JoinRequest parse(std::string_view payload) {
  const auto document = json::walk_document(payload);
  REQUIRE(document);
  const auto request = parse_join(*document);
  REQUIRE(request);
  return *request;
}

TEST_CASE("a payload that is no object is not a join") {
  for (const char* payload : {"null", "[]", "\"x\"", "5", "true"}) CHECK(!parse_join(*json::walk_document(payload)));
}

TEST_CASE("booleans are flexible, and a bad one only costs itself") {
  CHECK(parse(R"({"config":{"broadcast":{"self":"TRUE","ack":"yes"}}})").self);
  CHECK(!parse(R"({"config":{"broadcast":{"self":true,"ack":"yes"}}})").ack);
  CHECK(parse(R"({"config":{"broadcast":{"self":true,"ack":"yes"}}})").invalid_fields == "ack");
  CHECK(!parse(R"({"config":{"broadcast":{"self":"false"}}})").self);
  CHECK(!parse(R"({"config":{"broadcast":{"self":1,"ack":[]}}})").self);
  CHECK(parse(R"({"config":{"private":" "}})").invalid_fields.empty());
  CHECK(parse(R"({"config":{"private":"true"}})").is_private);
  CHECK(!parse(R"({"config":{"private":null}})").is_private);
  CHECK(parse(R"({"config":{"broadcast":{"replication_ready":"false"}}})").replication_ready);
  CHECK(!parse(R"({"config":{"broadcast":{"replication_ready":null}}})").replication_ready);
}

TEST_CASE("a null config is a config with defaults, a missing one is a join of the old API") {
  CHECK(parse(R"({"config":null})").has_config);
  CHECK(parse(R"({"config":{"broadcast":null,"presence":null}})").structural_fault.empty());
  CHECK(!parse("{}").has_config);
}

TEST_CASE("structural errors are noted, and what else was said is still known") {
  CHECK(!parse(R"({"config":"x"})").structural_fault.empty());
  CHECK(!parse(R"({"config":{"broadcast":"x"}})").structural_fault.empty());
  CHECK(!parse(R"({"config":{"private":true,"postgres_changes":["x"]}})").structural_fault.empty());
  CHECK(parse(R"({"config":{"private":true,"postgres_changes":["x"]}})").is_private);
  CHECK(parse(R"({"config":{"presence":"x"}})").structural_fault.empty());
}

TEST_CASE("presence keys of any scalar become text, blank ones are generated") {
  CHECK(parse(R"({"config":{"presence":{"key":42,"enabled":true}}})").presence_key == "42");
  CHECK(parse(R"({"config":{"presence":{"key":true}}})").presence_key == "true");
  CHECK(parse(R"({"config":{"presence":{"key":"a b"}}})").presence_key == "a b");
  for (const char* key : {"null", "\"\"", "\"  \"", "{}", "[]"}) {
    const std::string payload = R"({"config":{"presence":{"key":)" + std::string(key) + "}}}";
    CHECK(!parse(payload).presence_key);
  }
}

TEST_CASE("the token of a channel is chosen as clients expect") {
  CHECK(!parse("{}").token);
  CHECK(parse(R"({"access_token":"a"})").token == "a");
  CHECK(parse(R"({"access_token":"a","user_token":"u"})").token == "u");
  CHECK(!parse(R"({"access_token":"sb_x","user_token":"u"})").token);
  CHECK(!parse(R"({"user_token":"sb_x"})").token);
  CHECK(parse(R"({"access_token":"a","user_token":"sb_x"})").token == "sb_x");
  CHECK(!parse(R"({"access_token":7})").token);
  CHECK(parse(R"({"access_token":""})").token == "");
  CHECK(parse(R"({"access_token":null,"user_token":"u"})").token == "u");
}

TEST_CASE("change entries are objects; null is skipped and anything but an array is none") {
  CHECK(parse(R"({"config":{"postgres_changes":[null,{"a":1},null]}})").change_entries.size() == 1);
  CHECK(parse(R"({"config":{"postgres_changes":{}}})").change_entries.empty());
  CHECK(parse(R"({"config":{"postgres_changes":null}})").change_entries.empty());
}

TEST_CASE("a thousand change entries are taken, one more is an error that says so") {
  std::string entries = "{}";
  for (std::size_t i = 1; i < kChangeEntriesMax; ++i) entries += ",{}";
  const std::string most = R"({"config":{"postgres_changes":[)" + entries + "]}}";
  CHECK(parse(most).change_entries.size() == kChangeEntriesMax);
  CHECK(parse(most).structural_fault.empty());
  const std::string too_many = R"({"config":{"postgres_changes":[)" + entries + ",{}]}}";
  CHECK(parse(too_many).structural_fault.find("1000") != std::string::npos);
}

TEST_CASE("entries are echoed verbatim, in order, with ids that follow from their contents alone") {
  const auto ids = [](const std::vector<std::string_view>& entries) {
    const std::string echo = echo_change_entries(with_ids(entries));
    REQUIRE(json::walk_document(echo));
    std::vector<std::int64_t> found;
    json::Elements elements{json::Value(echo)};
    while (const auto element = elements.next()) found.push_back(*element->member("id")->integer());
    return found;
  };
  const std::string_view a = R"({"event":"INSERT","schema":"public"})";
  const std::string_view same = R"({"schema":"public","event":"INSERT","id":5})";
  const std::string_view b = R"({"event":"*","schema":"public"})";
  const auto got = ids({a, b, same});
  REQUIRE(got.size() == 3);
  CHECK(got[0] == got[2]);
  CHECK(got[0] != got[1]);
  CHECK(got[0] > 0);
  CHECK(got[0] < 1 << 27);
  CHECK(ids({b, a})[1] == got[0]);
  CHECK(echo_change_entries({}) == "[]");
  const std::string echo = echo_change_entries(with_ids({R"({"foo":1.0,"id":"x","bar":null})"}));
  CHECK(echo.substr(echo.find(',')) == R"(,"foo":1.0,"bar":null}])");
}

TEST_CASE("a name of the old API tells schema, table and filter") {
  CHECK(implicit_change_entry("public") == R"({"schema":"public"})");
  CHECK(implicit_change_entry("public:todos") == R"({"schema":"public","table":"todos"})");
  CHECK(implicit_change_entry("public:todos:id=eq.1:2") ==
        R"({"schema":"public","table":"todos","filter":"id=eq.1:2"})");
}

}  // namespace
}  // namespace rt::channels
