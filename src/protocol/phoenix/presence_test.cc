#include "protocol/phoenix/presence.h"

#include <doctest/doctest.h>

#include "protocol/json/walker.h"

namespace rt::phoenix {
namespace {

PresenceMeta meta(std::string key, std::uint64_t clock, const std::string& payload, std::uint64_t replaces = 0) {
  PresenceMeta meta{.key = std::move(key), .ref = {1, clock}, .ref_prev = {}, .payload = {}};
  if (replaces != 0) meta.ref_prev = {1, replaces};
  meta.payload = PresencePayload(payload);
  return meta;
}

std::string kept(std::string_view payload) { return presence_payload(json::Value(payload)); }

TEST_CASE("what is tracked stays the client's text, without the names that are the server's") {
  CHECK(kept(R"({"a": 1.0, "b":{"phx_ref":1}})") == R"({"a": 1.0, "b":{"phx_ref":1}})");
  CHECK(kept(R"({ "phx_ref":"x", "a" : [1, 2],"phx_ref_prev":null,"b":2 })") == R"({"a":[1, 2],"b":2})");
  CHECK(kept(R"({"phx\u005fref":{"deep":[]},"a":1})") == R"({"a":1})");
  CHECK(kept(R"({"phx_ref":"x"})") == "{}");
  CHECK(kept("{ \n }") == "{}");
}

TEST_CASE("metas of one key stand together, each with its refs") {
  PresenceObject object;
  object.add(meta("ann", 1, "{}"));
  object.add(meta("ann", 3, R"({"a":1 })", 2));
  object.add(meta("b\"\xc3\xa9\n", 4, "{}"));
  CHECK(std::move(object).finish() ==
        R"({"ann":{"metas":[{"phx_ref":")" + PresenceRef{1, 1}.text() + R"("},{"a":1 ,"phx_ref":")" +
            PresenceRef{1, 3}.text() + R"(","phx_ref_prev":")" + PresenceRef{1, 2}.text() +
            R"("}]},"b\"é\n":{"metas":[{"phx_ref":")" + PresenceRef{1, 4}.text() + R"("}]}})");
  CHECK(PresenceObject().finish() == "{}");
}

TEST_CASE("a diff has both parts, also where one is empty") {
  CHECK(presence_diff({}) == R"({"joins":{},"leaves":{}})");
  const std::string diff = presence_diff({.joins = {meta("a", 2, "{}", 1)}, .leaves = {meta("a", 1, "{}")}});
  CHECK(json::walk_document(diff));
  CHECK(diff.find(R"("leaves":{"a":{"metas":[{"phx_ref":")") != std::string::npos);
}

}  // namespace
}  // namespace rt::phoenix
