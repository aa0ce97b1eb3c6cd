// The long-poll sessions of a shard: clients whose network lets no WebSocket through (protocol.md 1.10).
//
// A session like any other stands behind no socket but behind a name that the client shows with each request, which may
// come over any connection of any worker. What it is to be told waits in a queue until the next poll takes it. What a
// poll took is gone, whether or not the answer arrived: clients give a session up when a poll of theirs fails, so
// nobody would ever ask for it again.
//
// Whatever there is to do for a session (frames that were posted, a poll to be answered, an end) puts it into a list,
// which mail to the own worker works off a little at a time. So a flood of posts or a fan-out to thousands of polls
// keeps nobody waiting, what happens in a turn goes into one answer, and no session is destroyed in mid-call.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/counter.h"
#include "base/siphash.h"
#include "io/net/worker.h"
#include "services/realtime/long_poll_wire.h"
#include "services/realtime/poll_queue.h"
#include "services/realtime/session.h"

namespace rt::realtime {

class Shard;

class LongPolls {  // used on its worker's thread
 public:
  // Called once, on this worker's thread, but for polls that are forgotten; whoever asked may be gone. Does not lead to
  // another call before it returns.
  using Answer = std::function<void(http::Response)>;
  // The connection that a poll came over, of any worker.
  struct Asker {
    int worker = 0;
    net::ConnectionId connection;
    bool operator==(const Asker&) const = default;
  };

  explicit LongPolls(Shard& shard);
  ~LongPolls();

  // Opens a session and tells its token, unless there are too many: then the text that says so.
  Result<void> open(SessionStart start, const Answer& answer);
  // False: there is no such session of the tenant, and nothing has been answered.
  bool poll(std::string_view token, const LiveTenant* tenant, const Asker& asker, Answer& answer);
  // The connection has ended. If its poll waits still, what comes from now on is kept for the next one.
  void forget(std::string_view token, const Asker& asker);
  void post(std::string_view token, const LiveTenant* tenant, PostedFrames frames, const Answer& answer);

  // As a worker does for a connection. `id` has kLongPollSlot; it may name none any more.
  void send(net::ConnectionId id, const net::FrameRef& message);  // as made by to_message()
  void close(net::ConnectionId id);                               // what waits can still be asked for
  void cut(net::ConnectionId id);
  void go_on(net::ConnectionId id);

  // Of all that waits for polls. On any thread.
  std::size_t queue_bytes() const { return queue_bytes_.value(); }

  // Null: there is none, or it is about to end.
  Session* find(net::ConnectionId id);
  // To go through all of them, by slot; null as above.
  std::size_t slots() const { return slots_.size(); }
  Session* session_in(std::size_t slot);

 private:
  struct Client;
  struct AttendMail;
  struct Share;
  struct TokenHash {
    HashKey key;
    std::size_t operator()(std::string_view token) const { return siphash(key, token); }
  };
  struct Slot {
    std::uint32_t generation = 1;
    std::unique_ptr<Client> client;
  };

  Client* client(net::ConnectionId id);
  Client* client(std::string_view token, const LiveTenant* tenant);
  void call(Client& client);
  void send_mail();
  void attend();
  void attend(Client& client, Share& left);
  void work(Client& client, Share& left);
  void end_session(Client& client);
  void hand_out(Client& client);
  bool has_room(const Client& client, std::size_t bytes) const;
  void slow_consumer(Client& client);
  void relieve_queues();
  void on_due(Client& client);
  void remove(Client& client);
  net::ConnectionId take_slot();

  Shard& shard_;
  const std::chrono::milliseconds window_;
  const std::chrono::milliseconds lifetime_;  // of a session that is not polled
  Counter queue_bytes_;                       // of all queues
  std::size_t posted_bytes_ = 0;              // of all that was posted and waits
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::unordered_map<std::string_view, Client*, TokenHash> clients_;  // keys are their own tokens
  std::deque<net::ConnectionId> called_;                              // there is something to do for them
  bool mail_is_on_its_way_ = false;                                   // that leads to it
};

}  // namespace rt::realtime
