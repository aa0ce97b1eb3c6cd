// Any JSON is a join payload: it is read without harm, its change entries come back as valid JSON with good ids, and
// what it wants replayed is within bounds.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "domain/channels/join_request.h"
#include "domain/channels/replay.h"
#include "protocol/json/value.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rt;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto document = json::walk_document(text);
  if (!document) return 0;
  const auto request = channels::parse_join(*document);
  RT_CHECK(request.has_value() == (document->type == json::Type::kObject));
  if (!request) return 0;
  const std::string echo = channels::echo_change_entries(channels::with_ids(request->change_entries));
  const auto walked = json::walk_document(echo);
  RT_CHECK(walked && walked->type == json::Type::kArray);
  json::Elements elements{json::Value(walked->text)};
  std::size_t count = 0;
  while (const auto element = elements.next()) {
    const auto id = element->member("id")->integer();
    RT_CHECK(id && *id >= 1 && *id < 1 << 27);
    ++count;
  }
  RT_CHECK(count == request->change_entries.size());
  RT_CHECK(json::walk_document(channels::implicit_change_entry(request->presence_key.value_or("public:a:b=eq.1:2"))));
  if (const auto replay = channels::wanted_replay(*request, Rights::all(), "t"); replay && *replay) {
    RT_CHECK(request->is_private && request->replay);
    RT_CHECK((*replay)->limit >= 1 && (*replay)->limit <= 25);
    RT_CHECK((*replay)->since >= -62'167'219'200'000 && (*replay)->since < 253'402'300'800'000);
  }
  if (request->token) RT_CHECK(json::walk_document(json::quoted(*request->token)));
  return 0;
}
