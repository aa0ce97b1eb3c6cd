// The worker's insides: what its parts share. worker.cc has the loop, input.cc what comes in, output.cc what goes out,
// encrypted.cc what TLS puts in between.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/wait_traits.hpp>
#include <chrono>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "io/net/connection.h"
#include "io/net/send_batch.h"
#include "io/net/worker.h"
#include "protocol/websocket/deflate.h"

namespace rt::net {

struct Worker::Impl {
  static constexpr SendShare kShareOfSend{.frames = 64, .bytes = kBytesPerSend};

  Impl(Worker& owner, std::unique_ptr<SendBatch> send_batch);
  ~Impl();

  // --- worker.cc ---
  void run();
  void wake();
  void drain_mail();
  void end_turn();
  void arm_timer();
  void on_timer();
  void open(int fd, const IpAddress& peer, const TlsIdentity* tls);
  Connection* find(ConnectionId id);
  bool has_work() const;
  void report_ended(Connection& c);
  void tell_end(Connection& c);
  void tell_ends();
  void drop(Connection& c);
  void abort(Connection& c);
  void reap();
  void touch() { worker.now_ = worker.clock_.now(); }
  void count_turn(Time began);
  void count_bytes(Connection& c, Counter Traffic::* direction, std::size_t bytes);
  void on_deadline(Connection& c);
  void let_go_of_worker(int index);  // its mailbox is low again

  // --- input.cc ---
  void arm_read(Connection& c);
  void on_readable(ConnectionId id, bool failed);
  void read(Connection& c);
  bool take_proxy_header(Connection& c, std::span<char>& in);
  void refuse_proxy_header(Connection& c, const std::string& reason);
  void on_end_of_input(Connection& c);
  void take_in(Connection& c, std::span<char> in);
  void consume(Connection& c, std::span<char> in);
  void keep_unread(Connection& c, std::span<const char> rest, std::unique_ptr<Unread> earlier);
  bool consume_http(Connection& c, std::span<char>& in);  // false: it is somebody else's turn
  bool consume_frames(Connection& c, std::span<char>& in);
  void go_on(Connection& c);
  void postpone(Connection& c);
  void consume_postponed();
  void on_step(Connection& c, const ws::Step& step);
  void account_held(Connection& c);
  void respond(Connection& c, http::Response response);
  void refuse(Connection& c, const http::Refusal& refusal);
  void enqueue_response(Connection& c, http::Response response, http::BodyOf body_of, bool keep_alive);

  // --- encrypted.cc ---
  void read_encrypted(Connection& c, std::span<const char> in);
  void go_on_with_handshake(Connection& c);
  void decrypt(Connection& c, std::span<const char> in);
  void answer_plain(Connection& c);
  void fail_handshake(Connection& c, std::string_view reason);
  void break_encrypted(Connection& c);
  void end_encrypted(Connection& c);
  void part_for_new_keys(Connection& c, std::span<char> in);
  void hand_over_writing(Connection& c);
  std::size_t gather_for_tls(Connection& c, msghdr& message);
  bool say_the_end(Connection& c);  // true: there is something to send first

  // --- output.cc ---
  void enqueue(Connection& c, FrameRef frame, Urgency urgency = Urgency::kThisTurn);
  void enqueue_unlimited(Connection& c, FrameRef frame, Urgency urgency = Urgency::kThisTurn);
  void mark_dirty(Connection& c, Urgency urgency);
  void flush();
  void flush_bulk();
  void take_group(BulkGroup& group);
  void flush_all(std::vector<Connection*>& connections);
  void flush_some(std::span<Connection* const> connections);
  void on_sent(Connection& c, ssize_t result, std::size_t offered);
  void arm_write(Connection& c);
  void on_writable(ConnectionId id, bool failed);
  void linger(Connection& c);
  void begin_lingering(Connection& c, std::chrono::milliseconds time);
  void part(Connection& c);
  void close(Connection& c, std::optional<std::uint16_t> code);
  void slow_consumer(Connection& c, Counter& cause);
  void relieve_queues();
  std::size_t queue_bytes_max(const Connection& c) const;

  struct Slot {
    std::uint32_t generation = 1;
    std::unique_ptr<Connection> connection;
  };
  using Timer =
      boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                        boost::asio::io_context::executor_type>;

  Worker& worker;
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> keep_waiting{io.get_executor()};
  bool stopping = false;
  Timer timer{io};
  std::optional<Time> timer_at;
  bool refusing_requests = false;

  std::vector<Slot> slots;
  std::vector<std::uint32_t> free_slots;
  std::vector<Connection*> dirty;      // have something to send, all of it in this turn
  std::deque<BulkGroup> bulk;          // likewise, in slices
  std::vector<Connection*> sending;    // of a flush, while it lasts
  std::deque<ConnectionId> ended;      // their handlers have to be told
  std::deque<Connection*> gone;        // to be removed
  std::vector<ConnectionId> held;      // readable, but reading waits for another worker's mailbox
  std::deque<ConnectionId> postponed;  // have input, but had their share of a turn
  ws::Inflater inflater;
  std::size_t all_queue_bytes = 0;
  std::size_t all_held_bytes = 0;

  std::unique_ptr<SendBatch> batch;
  std::vector<Outgoing> outgoing;
  std::vector<iovec> pieces;
  JoinedFrames joined;
  std::vector<char> scratch;        // what was just read, with room for a reader that looks ahead
  std::vector<char> plain_scratch;  // what that meant; empty until a connection needs it
};

}  // namespace rt::net
