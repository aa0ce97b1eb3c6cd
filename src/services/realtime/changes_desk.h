// A worker's part in row changes: it carries to the databases what channels want, and knows which of its channels is
// meant when they answer.
//
// What they say comes by mail, so no call comes back while the session that asked is still at work, and all that one
// thread says reaches a channel in order. A channel that has ended by then is passed over.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "domain/channels/topic_table.h"
#include "model/changes.h"
#include "services/realtime/broadcast.h"

namespace rt::realtime {

class LiveTenant;
class Shard;

class ChangesDesk {  // on its worker's thread only
 public:
  explicit ChangesDesk(Shard& shard) : shard_(shard) {}

  // --- for channels of this worker
  std::uint64_t take_channel() { return ++last_channel_; }
  // The id of the question names the channel; the worker is added.
  void subscribe(const LiveTenant& tenant, SocketId socket, const channels::FrameForm& form, ChangesQuestion question);
  void unsubscribe(const LiveTenant& tenant, std::uint64_t channel);
  // The worker has stopped: what its channels say from now on reaches nobody.
  void fall_silent() { is_silent_ = true; }

  // --- for the databases
  void tell(std::uint64_t channel, const ChangesNotice& notice);
  // To those channels that are there, as so many events of the tenant each.
  void deliver(const Broadcast& change, const std::shared_ptr<LiveTenant>& tenant,
               std::span<const std::uint64_t> channels, std::size_t subscriptions);

 private:
  struct Receiver {
    const LiveTenant* tenant;  // that its session holds
    SocketId socket;
    channels::FrameForm form;
    std::string topic;
  };

  Shard& shard_;
  std::unordered_map<std::uint64_t, Receiver> receivers_;
  std::uint64_t last_channel_ = 0;
  bool is_silent_ = false;
};

}  // namespace rt::realtime
