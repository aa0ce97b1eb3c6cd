// One message on its way to many receivers of a worker: each form of it is asked for once, when the first who takes it
// is found.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "domain/channels/replay.h"
#include "domain/channels/topic_table.h"
#include "io/net/frame_ref.h"
#include "io/net/worker.h"
#include "services/realtime/broadcast.h"

namespace rt::realtime {

class Shard;

class FanOut {  // on the worker's thread, within one turn
 public:
  // To at most so many. Everything outlives it.
  FanOut(Shard& shard, const Broadcast& broadcast, std::size_t receivers);

  // True: it is in the receiver's queue. `replay`: of its channel, where that wants old messages.
  bool send(SocketId socket, const channels::FrameForm& receiver, const channels::ChannelReplay* replay = nullptr);

 private:
  // What is sent, or why not.
  struct Prepared {
    bool ready = false;
    net::FrameRef plain;
    net::FrameRef compressed;
    std::shared_ptr<const std::string> polled;
    Undeliverable why = Undeliverable::kNot;
  };
  void prepare(Form form, Prepared& prepared);
  void log_frame_limit();

  Shard& shard_;
  const Broadcast& broadcast_;
  const net::Urgency urgency_;
  std::array<Prepared, 3> prepared_;  // by form
};

}  // namespace rt::realtime
