// Whatever a client sends, the decoder refuses it or cuts it into pieces that can be sent back as valid frames.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/json/walker.h"
#include "protocol/phoenix/encoder.h"
#include "protocol/phoenix/message.h"

namespace {

using namespace rt;

std::string_view text_of(std::string_view frame) {
  const auto length = static_cast<unsigned char>(frame[1]);
  return frame.substr(length == 127 ? 10 : length == 126 ? 4 : 2);
}

void check(const phoenix::ClientMessage& m, phoenix::Version version) {
  RT_CHECK(json::walk_document(m.ref));
  RT_CHECK(json::walk_document(m.join_ref));
  if (m.topic) RT_CHECK(is_valid_utf8(*m.topic));
  if (m.event) RT_CHECK(is_valid_utf8(*m.event));
  if (const auto* payload = std::get_if<phoenix::JsonPayload>(&m.payload)) {
    const auto again = json::walk_document(payload->text);
    RT_CHECK(again && again->term_size == payload->term_size && again->type == payload->type);
  }
  // Its envelope comes back in replies: they must decode to the same refs and topic.
  if (!m.topic) return;
  const std::string reply =
      phoenix::encode(version, {.join_ref = m.join_ref, .ref = m.ref, .topic = *m.topic, .event = "phx_reply"});
  const std::string topic(*m.topic), ref(m.ref);
  phoenix::Decoder decoder;
  const auto back = decoder.decode(version, ws::Opcode::kText, text_of(reply));
  RT_CHECK(back && back->topic == topic && back->ref == ref);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto version = (data[0] & 1) != 0 ? rt::phoenix::Version::kV2 : rt::phoenix::Version::kV1;
  const auto opcode = (data[0] & 2) != 0 ? rt::ws::Opcode::kBinary : rt::ws::Opcode::kText;
  const std::string frame(reinterpret_cast<const char*>(data + 1), size - 1);
  rt::phoenix::Decoder decoder;
  if (const auto message = decoder.decode(version, opcode, frame)) check(*message, version);
  return 0;
}
