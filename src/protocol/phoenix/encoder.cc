#include "protocol/phoenix/encoder.h"

#include "protocol/json/value.h"

namespace rt::phoenix {
namespace {

constexpr std::size_t kFieldBytesMax = 255;
constexpr char kKindBroadcast = 2;
constexpr char kKindUserBroadcast = 4;

}  // namespace

std::string encode(Version version, const ServerMessage& m) {
  const std::string topic = m.topic_json.empty() ? json::quoted(m.topic) : std::string(m.topic_json);
  if (version == Version::kV2) {
    return ws::make_frame(ws::Opcode::kText,
                          {"[", m.join_ref, ",", m.ref, ",", topic, ",\"", m.event, "\",", m.payload, "]"});
  }
  return ws::make_frame(ws::Opcode::kText, {"{\"topic\":", topic, ",\"event\":\"", m.event,
                                            "\",\"payload\":", m.payload, ",\"ref\":", m.ref, "}"});
}

Envelope encode_around(Version version, const ServerMessage& m) {
  const std::string topic = m.topic_json.empty() ? json::quoted(m.topic) : std::string(m.topic_json);
  Envelope out;
  if (version == Version::kV2) {
    out.before.append("[").append(m.join_ref).append(",").append(m.ref).append(",").append(topic);
    out.before.append(",\"").append(m.event).append("\",");
    out.after = "]";
  } else {
    out.before.append("{\"topic\":").append(topic).append(",\"event\":\"").append(m.event).append("\",\"payload\":");
    out.after.append(",\"ref\":").append(m.ref).append("}");
  }
  return out;
}

std::optional<std::string> encode_user_broadcast(const UserBroadcast& b) {
  if (b.topic.size() > kFieldBytesMax || b.event.size() > kFieldBytesMax || b.metadata.size() > kFieldBytesMax) {
    return std::nullopt;
  }
  const char header[5] = {kKindUserBroadcast, static_cast<char>(b.topic.size()), static_cast<char>(b.event.size()),
                          static_cast<char>(b.metadata.size()), b.is_json ? '\1' : '\0'};
  return ws::make_frame(ws::Opcode::kBinary,
                        {std::string_view(header, sizeof header), b.topic, b.event, b.metadata, b.data});
}

std::optional<std::string> encode_raw_broadcast(std::string_view topic, std::string_view event,
                                                std::string_view bytes) {
  if (topic.size() > kFieldBytesMax || event.size() > kFieldBytesMax) return std::nullopt;
  const char header[3] = {kKindBroadcast, static_cast<char>(topic.size()), static_cast<char>(event.size())};
  return ws::make_frame(ws::Opcode::kBinary, {std::string_view(header, sizeof header), topic, event, bytes});
}

}  // namespace rt::phoenix
