// Whatever object a client tracks, under whatever key: what members are told of it is valid JSON and has the server's
// refs and no others.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/json/value.h"
#include "protocol/phoenix/presence.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rt;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto document = json::walk_document(text);
  if (!document || document->type != json::Type::kObject) return 0;
  const std::string kept = phoenix::presence_payload(json::Value(document->text));
  const auto walked = json::walk_document(kept);
  RT_CHECK(walked && walked->type == json::Type::kObject);
  RT_CHECK(!json::Value(kept).member("phx_ref") && !json::Value(kept).member("phx_ref_prev"));
  // Twice is the same.
  RT_CHECK(phoenix::presence_payload(json::Value(kept)) == kept);

  const std::string key = is_valid_utf8(text) ? text : "key";
  PresenceMeta meta{.key = key, .ref = {1, 2}, .ref_prev = {1, 1}, .payload = PresencePayload(kept)};
  const std::string diff = phoenix::presence_diff({.joins = {meta, meta}, .leaves = {meta}});
  const auto told = json::walk_document(diff);
  RT_CHECK(told.has_value());
  const auto joins = json::Value(told->text).member("joins");
  RT_CHECK(joins);
  const auto of_key = joins->member(key);
  RT_CHECK(of_key);
  const auto metas = of_key->member("metas");
  RT_CHECK(metas);
  json::Elements elements{*metas};
  std::size_t count = 0;
  while (const auto element = elements.next()) {
    RT_CHECK(element->member("phx_ref")->string() == meta.ref.text());
    RT_CHECK(element->member("phx_ref_prev")->string() == meta.ref_prev.text());
    ++count;
  }
  RT_CHECK(count == 2);
  return 0;
}
