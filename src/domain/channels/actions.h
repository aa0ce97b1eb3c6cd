// What the channels of a socket want done, in this order. They decide; the service that owns the socket acts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/log.h"
#include "model/message.h"
#include "model/replay.h"
#include "model/rights_question.h"
#include "model/token.h"
#include "protocol/websocket/frame.h"

namespace rt::channels {

// To this socket: a whole WebSocket frame.
struct SendFrame {
  std::string frame;
};

// The same, shared with others and in this socket's form already.
struct SendShared {
  std::shared_ptr<const std::string> frame;
};

// To this socket: a fragment of an uncompressed message, which may be shared with others.
struct SendFragment {
  std::shared_ptr<const std::string> frame;
};

enum class Echo : std::uint8_t { kSkipSender, kIncludeSender };

// To every channel of the message's topic, here and elsewhere.
struct Publish {
  Message message;
  Echo echo = Echo::kSkipSender;
};

// What was sent before goes out first.
struct CloseSocket {
  ws::CloseCode code = ws::CloseCode::kNormal;
};

// At once and without a close frame.
struct CutSocket {};

struct LogLine {
  LogLevel level = LogLevel::kError;
  std::string_view code;  // of the register of error codes; a literal
  std::string topic;
  std::string text;
  TokenRef token{};  // of the channel; null: that of the socket
};

// Something was dropped: what the client said, or, at a frame's limit of 255 bytes for names, what it was to be told.
enum class Dropped : std::uint8_t { kMalformedFrame, kOversizedPayload, kFrameLimit };
struct Count {
  Dropped what = Dropped::kMalformedFrame;
};

// To the tenant's database. The answer goes to ChannelSet::on_rights() with this topic and ticket. The headers are for
// the service to fill in: it knows those of the connection.
struct AskRights {
  std::string topic;
  std::uint64_t ticket = 0;
  RightsQuestion question;
};

// Likewise; the answer goes to ChannelSet::on_replayed().
struct AskReplay {
  std::string topic;
  std::uint64_t ticket = 0;
  ReplayQuestion question;
};

using Action = std::variant<SendFrame, SendShared, SendFragment, Publish, CloseSocket, CutSocket, LogLine, Count,
                            AskRights, AskReplay>;
using Actions = std::vector<Action>;

}  // namespace rt::channels
