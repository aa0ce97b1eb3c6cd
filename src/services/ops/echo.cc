#include "services/ops/echo.h"

#include "protocol/websocket/handshake.h"

namespace rt::ops {

void Echo::open(net::ConnectionId connection, const http::Request& request) {
  if (const auto ok = ws::check_upgrade(request); !ok)
    return worker_.respond(connection, http::Response::text(400, ok.error().message));
  const auto agreement = compression_ ? ws::negotiate_deflate(request) : std::nullopt;
  if (agreement) agreements_[connection.slot] = *agreement;
  worker_.upgrade(connection, ws::make_upgrade_response(request, agreement),
                  {kEchoLimits, agreement ? net::Compression::kAgreed : net::Compression::kNone}, *this);
}

net::Reading Echo::on_message(net::ConnectionId connection, ws::Opcode opcode, std::string_view payload) {
  std::string frame = ws::make_frame(opcode, {payload});
  const auto agreement = agreements_.find(connection.slot);
  if (agreement != agreements_.end() && agreement->second.takes(payload.size())) {
    if (auto compressed = deflater_.compress(frame)) frame = std::move(*compressed);
  }
  worker_.send(connection, net::FrameRef(std::move(frame)));
  return net::Reading::kGoOn;
}

}  // namespace rt::ops
