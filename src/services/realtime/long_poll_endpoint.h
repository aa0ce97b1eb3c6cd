// `/socket/longpoll`: a request finds the worker that has its session, or opens one after the checks of a handshake
// (protocol.md 1.10, 1.5).
#pragma once

#include "io/net/worker.h"
#include "protocol/http/request.h"
#include "services/realtime/long_polls.h"
#include "services/realtime/node.h"

namespace rt::realtime {

class LongPollEndpoint {  // thread-safe
 public:
  explicit LongPollEndpoint(Node& node) : node_(node) {}

  // On the thread of `worker`. `answer` is called once, now or later, on the thread of any worker.
  void on_request(net::Worker& worker, http::Request request, LongPolls::Answer answer);

 private:
  struct RequestMail;

  void send(Shard& from, Shard& to, Shard& home, http::Request request, LongPolls::Answer answer);
  // On the shard's thread. `home` has the connection, and the session if one is to be opened.
  void serve(Shard& shard, Shard& home, http::Request request, LongPolls::Answer answer);
  void open(Shard& shard, const http::Request& request, LongPolls::Answer answer);
  Shard& shard_of(const net::Worker& worker) const;

  Node& node_;
};

}  // namespace rt::realtime
