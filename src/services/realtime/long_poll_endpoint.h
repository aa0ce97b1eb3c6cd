// `/socket/longpoll`: a request finds the worker that has its session, or opens one after the checks of a handshake
// (protocol.md 1.10, 1.5).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/net/worker.h"
#include "protocol/http/request.h"
#include "services/realtime/long_polls.h"
#include "services/realtime/node.h"

namespace rt::realtime {

class LongPollEndpoint {  // thread-safe
 public:
  explicit LongPollEndpoint(Node& node) : node_(node) {}

  // Once for each worker, before they run.
  void add_worker() { waiting_.emplace_back(); }

  // On the thread of `worker`. `answer` is called once, now or later, on the thread of any worker, unless the
  // connection ends before.
  void on_request(net::Worker& worker, net::ConnectionId connection, http::Request request, LongPolls::Answer answer);
  // As RequestHandler::on_answered(), of every request of the worker, whatever it is for.
  void on_answered(net::Worker& worker, net::ConnectionId connection, std::optional<int> status);

 private:
  struct RequestMail;
  struct ForgetMail;
  using Asker = LongPolls::Asker;

  void send(Shard& from, Shard& to, const Asker& asker, http::Request request, LongPolls::Answer answer);
  // On the shard's thread. The asker's worker has the connection, and the session if one is to be opened.
  void serve(Shard& shard, const Asker& asker, http::Request request, LongPolls::Answer answer);
  void open(Shard& shard, const http::Request& request, LongPolls::Answer answer);
  Shard& shard_of(int worker) const;

  Node& node_;
  // By worker and slot of the connection: the tokens of polls that are not answered yet.
  std::vector<std::unordered_map<std::uint32_t, std::string>> waiting_;
};

}  // namespace rt::realtime
