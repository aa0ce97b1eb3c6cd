#include "services/realtime/fan_out.h"

#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

Form form_of(phoenix::Version version, bool polls) {
  if (version == phoenix::Version::kV1) return Form::kV1;
  return polls ? Form::kV2Text : Form::kV2;
}

}  // namespace

FanOut::FanOut(Shard& shard, const Broadcast& broadcast, std::size_t receivers)
    : shard_(shard), broadcast_(broadcast), urgency_(shard.worker().begin_fan_out(receivers)) {}

bool FanOut::send(SocketId socket, const channels::FrameForm& receiver, const channels::ChannelReplay* replay) {
  const auto& [version, deflate] = receiver;
  const bool polls = is_long_poll(socket);
  const Form form = form_of(version, polls);
  Prepared& p = prepared_[static_cast<std::size_t>(form)];
  if (!p.ready) prepare(form, p);
  if (!p.plain) {
    shard_.count_undelivered(p.why);
    return false;
  }
  const bool compress = deflate && deflate->takes(p.plain.bytes().size());
  if (polls && !p.polled) p.polled = broadcast_.polled(form);
  if (replay != nullptr) {
    const Message& message = broadcast_.message();
    if (replay->has(message.id)) return false;
    if (replay->is_awaited) {
      shard_.keep_live(socket, message.topic,
                       {message.id, polls      ? p.polled
                                    : compress ? broadcast_.compressed(form, shard_.deflater())
                                               : broadcast_.encoding(form).frame});
      return false;
    }
  }
  if (compress && !p.compressed) p.compressed = net::FrameRef(broadcast_.compressed(form, shard_.deflater()));
  if (polls) {
    shard_.long_polls().send(connection_id(socket), net::FrameRef(p.polled));
  } else {
    shard_.worker().send(connection_id(socket), compress ? p.compressed : p.plain, urgency_);
  }
  return true;
}

void FanOut::prepare(Form form, Prepared& prepared) {
  const Broadcast::Encoding encoding = broadcast_.encoding(form);
  prepared.ready = true;
  if (encoding.frame) prepared.plain = net::FrameRef(encoding.frame);
  prepared.why = encoding.why;
  if (encoding.why == Undeliverable::kFrameLimit && broadcast_.claim_log_line()) log_frame_limit();
}

void FanOut::log_frame_limit() {
  const Message& message = broadcast_.message();
  const std::string_view code = message.id.empty() ? "FrameLimitReached" : "UnableToBroadcastChanges";
  shard_.log(LogLevel::kWarning, {.tenant = message.tenant, .error_code = code},
             "skipped receivers of a broadcast: topic and event must not be longer than 255 bytes in a binary frame");
}

}  // namespace rt::realtime
