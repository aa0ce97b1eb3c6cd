// Whatever a walsender sends is refused, or is understood without reading past its end; and rows that can be broadcast
// have what a broadcast needs.
//
// The input is a row of stream messages, each behind its length in two bytes.

#include <cstdint>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "domain/messages/message_row.h"
#include "domain/messages/message_stream.h"
#include "protocol/pgoutput/lsn_text.h"
#include "protocol/pgoutput/stream.h"

namespace {

using namespace rt;

constexpr std::uint64_t kBodyBytesMax = 100;

void hear(messages::MessageStream& stream, std::string_view bytes) {
  const auto message = pgoutput::parse_stream_message(bytes);
  if (!message) return;
  if (const auto* keepalive = std::get_if<pgoutput::Keepalive>(&*message)) {
    RT_CHECK(pgoutput::parse_lsn(pgoutput::to_text(keepalive->server_end)) == keepalive->server_end);
    return;
  }
  const auto event = stream.take(std::get<pgoutput::WalData>(*message).data);
  if (!event) {
    RT_CHECK(!event.error().message.empty());
    return;
  }
  const auto* inserted = std::get_if<messages::Inserted>(&*event);
  if (inserted == nullptr) return;
  const auto row = messages::read_row(inserted->row, kBodyBytesMax);
  if (row) {
    RT_CHECK(row->body.size() <= kBodyBytesMax);
  } else {
    RT_CHECK(row.error().reason.starts_with(':'));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view in(reinterpret_cast<const char*>(data), size);
  messages::MessageStream stream;
  while (in.size() >= 2) {
    const std::size_t length = static_cast<unsigned char>(in[0]) << 8 | static_cast<unsigned char>(in[1]);
    const std::string_view bytes = in.substr(2, length);
    in.remove_prefix(2 + bytes.size());
    hear(stream, bytes);
  }
  return 0;
}
