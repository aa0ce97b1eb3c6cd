#include "protocol/pgoutput/stream.h"

#include "protocol/pgoutput/reader.h"

namespace rt::pgoutput {
namespace {

void append(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

}  // namespace

Result<StreamMessage> parse_stream_message(std::string_view bytes) {
  Reader in(bytes);
  const auto kind = in.integer<std::uint8_t>();
  if (kind == 'w') {
    WalData out;
    out.start = {in.integer<std::uint64_t>()};
    out.server_end = {in.integer<std::uint64_t>()};
    in.integer<std::uint64_t>();  // the server's clock
    if (in.is_broken()) return fail("a piece of the log without its header");
    out.data = in.rest();
    return out;
  }
  if (kind == 'k') {
    Keepalive out;
    out.server_end = {in.integer<std::uint64_t>()};
    in.integer<std::uint64_t>();
    out.wants_reply = in.integer<std::uint8_t>() != 0;
    if (in.is_broken()) return fail("a keepalive that is too short");
    return out;
  }
  return fail("a message of an unknown kind in the replication stream");
}

std::int64_t micros_of(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count() -
         kPostgresEpochSeconds * 1'000'000;
}

std::string make_status_update(Lsn written, Lsn flushed, std::int64_t micros, Reply reply) {
  std::string out = "r";
  append(out, written.value);
  append(out, flushed.value);
  append(out, flushed.value);  // applied
  append(out, static_cast<std::uint64_t>(micros));
  out += reply == Reply::kWanted ? '\1' : '\0';
  return out;
}

}  // namespace rt::pgoutput
