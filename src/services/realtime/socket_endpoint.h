// `/socket/websocket`: the handshake, with its checks in their order (protocol.md 1.5).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "io/net/worker.h"
#include "protocol/http/request.h"
#include "services/realtime/node.h"
#include "services/realtime/session.h"

namespace rt::realtime {

// What the first failing check leads to.
struct HandshakeRefusal {
  enum class When : std::uint8_t { kNow, kAfterBackoff };
  http::Response response;
  When when = When::kAfterBackoff;
  LogLevel level = LogLevel::kError;
  std::string_view code = {};  // for the log; empty: no line
  std::string log_text = {};
  std::shared_ptr<LiveTenant> tenant = nullptr;            // null: there is none
  std::optional<phoenix::Version> version = std::nullopt;  // as far as it is known
};

enum class OffersCompression : std::uint8_t { kNo, kYes };  // whether the node agrees to permessage-deflate

// What the checks ask others for.
struct HandshakeHost {
  int worker = 0;  // its index
  std::function<Result<TokenRef, TokenFault>(const TenantRecord& tenant, std::string_view text)> verify;
  std::function<bool(const std::shared_ptr<LiveTenant>& tenant)> joins_are_over_limit;
  OffersCompression compression = OffersCompression::kNo;
};

// They read no clock and send nothing. check_client: those that are not about the WebSocket; whoever passes may have a
// session.
Result<SessionStart, HandshakeRefusal> check_client(const http::Request& request, LiveTenants& tenants,
                                                    const HandshakeHost& host);
Result<SessionStart, HandshakeRefusal> check_handshake(const http::Request& request, LiveTenants& tenants,
                                                       const HandshakeHost& host);

HandshakeHost handshake_host(Shard& shard);  // valid as long as the shard
// In the log and in the counters.
void note_refusal(Shard& shard, Transport transport, const http::Request& request, const HandshakeRefusal& refusal);

class SocketEndpoint {
 public:
  explicit SocketEndpoint(Node& node) : node_(node) {}
  void on_request(net::Worker& worker, net::ConnectionId connection, const http::Request& request);

 private:
  Node& node_;
};

}  // namespace rt::realtime
