// A worker: one thread, its event loop and its connections.
//
// The loop is ours: one handler that may wait, then up to kHandlersPerTurn that are ready, then everything that was
// queued for sending goes out together. A connection at rest holds one readiness wait of Asio and nothing else: no
// coroutine, no buffer, no timer of its own (deadlines sit in the timing wheel). The worker knows HTTP and WebSocket as
// bytes; what requests and messages mean is its handlers' business.
//
// Nobody can keep the others waiting. A turn is short, whatever there is to do: a connection has a share of it, and who
// wants more goes on in later turns, when all who wanted little have been served, within a time that all the greedy
// ones have together. What goes to thousands of connections at once goes out in slices, between which everything else
// has its turn.
//
// Asio does not recall a handler that is already queued, so handlers carry {slot, generation} and look the connection
// up; a connection that has gone is a normal case everywhere. Nothing is destroyed in mid-call: ended connections are
// reported and removed at the end of a turn.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "base/ip_address.h"
#include "base/timing_wheel.h"
#include "io/net/frame_ref.h"
#include "io/net/mailbox.h"
#include "protocol/http/request_parser.h"
#include "protocol/websocket/reader.h"

namespace rt::net {

class SendBatch;
class TlsIdentity;
class Worker;

struct ConnectionId {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0 names no connection
  bool operator==(const ConnectionId&) const = default;
};

// Answers requests, each with exactly one respond() or upgrade(), during the call or later; the connection reads
// nothing meanwhile. One call may answer requests of other connections, too: no call of the worker leads to another
// request or message before it returns.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  virtual void on_request(Worker& worker, ConnectionId connection, http::Request request) = 0;
  // Once for each request, when it has its answer. nullopt: the connection ended before. Must not call the worker, but
  // for post().
  virtual void on_answered(Worker& worker, ConnectionId connection, std::optional<int> status) = 0;
  // What came is not that, or not all of it came in time; the connection ends. A status of 0: without an answer. Must
  // not call the worker.
  enum class Expected : std::uint8_t { kRequest, kProxyHeader, kTlsHandshake };
  virtual void on_refused(Worker& worker, const IpAddress& client, Expected expected, const http::Refusal& refusal) = 0;
};

enum class Reading : std::uint8_t { kGoOn, kPause };  // kPause: until resume_reading()

// Receives what a WebSocket says, on its worker's thread.
class MessageHandler {
 public:
  virtual ~MessageHandler() = default;
  // `payload` is valid during the call.
  virtual Reading on_message(ConnectionId connection, ws::Opcode opcode, std::string_view payload) = 0;
  // After the messages of one connection that were handled in one go: how long that took.
  virtual void on_heard(std::chrono::nanoseconds) {}
  // Once for each upgraded connection, whoever ended it, at the end of this turn or, where many end at once, of one of
  // the next. What is sent to it meanwhile is lost.
  virtual void on_closed(ConnectionId connection) = 0;
};

// kBulk: one of so many sends that the others would have to wait for them; it goes out in one of the next turns.
enum class Urgency : std::uint8_t { kThisTurn, kBulk };

enum class Compression : std::uint8_t { kNone, kAgreed };  // of permessage-deflate, in the handshake

// Bytes that went through the sockets of somebody, framing included and TLS not.
struct Traffic {
  Counter in;
  Counter out;
};

struct WebSocketOptions {
  ws::ReaderLimits limits;
  Compression compression = Compression::kNone;
  Traffic* traffic = nullptr;  // whose it counts to besides the worker's; lives until on_closed() was called
};

struct WorkerConfig {
  http::ParserLimits http;
  std::vector<IpBlock> trusted_proxies;              // whose word counts on who a connection or a request is from
  bool proxy_protocol = false;                       // connections of trusted proxies begin with a PROXY header
  std::chrono::milliseconds header_timeout{10'000};  // first byte of a connection to the end of the headers, else 408
  std::chrono::milliseconds body_timeout{30'000};    // end of the headers to the end of the body, else 408
  std::chrono::milliseconds idle_timeout{
      60'000};  // a WebSocket without a byte from its client: 1000; kept-alive HTTP: closed
  std::size_t send_queue_bytes_max = 16 * 1024 * 1024;
  std::chrono::milliseconds send_blocked_timeout{30'000};
  std::size_t all_send_queues_bytes_max = std::size_t{1} << 30;
  std::size_t all_receive_bytes_max = std::size_t{1} << 29;
};

// Microseconds.
inline constexpr std::array<std::int64_t, 9> kTurnBounds{100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 100'000};

// Written by the worker's thread, read by anyone.
struct WorkerCounters {
  Traffic sockets;              // those that WebSocketOptions::traffic counts too
  Traffic others;               // HTTP
  Counter tls_handshakes;       // completed
  Counter tls_failures;         // handshakes that failed for what was sent, or was not sent in time
  Counter tls_broken;           // connections that ended for what they sent as TLS after their handshake
  Counter tls_kernel_writers;   // connections whose output the kernel encrypts
  Counter tls_kernel_refusals;  // whose keys it did not take, as of one that has ended its side; we encrypt on
  Counter tls_kernel_rekeys;    // that were ended for asking it for new keys, which it has no way to take
  Counter frames_queued;
  Counter requests;
  Counter proxy_headers_refused;      // connections of trusted proxies that were closed for want of a good PROXY header
  Counter flushes;                    // send batches
  Counter sends;                      // by them, one for each connection and flush
  Counter sends_blocked;              // of these, the kernel took nothing of
  Histogram<kTurnBounds> turns;       // how long each took, without the wait before it
  Counter send_queue_bytes;           // now, of all connections; a shared frame counts for each
  Counter receive_bytes;              // now, of incomplete input
  Counter slow_consumers_queue;       // the queue of one connection was full
  Counter slow_consumers_blocked;     // sending was blocked for too long
  Counter slow_consumers_worker_cap;  // the largest queue when all together were too large
  Counter receive_cap_closes;         // the connection that hit all_receive_bytes_max
  Counter frames_dropped;             // discarded from the queues of slow consumers
  Counter protocol_violations;        // 1002, 1007, 1009
  Counter bytes_inflated;             // what compressed messages of clients came to
};

class Worker {
 public:
  static constexpr int kHandlersPerTurn = 256;
  // No further handler begins in a turn that is older than this.
  static constexpr std::chrono::microseconds kTurnTime{500};
  // The share of a turn that one connection has.
  static constexpr std::size_t kReadBytesPerTurn = 64 * 1024;
  static constexpr std::size_t kTlsReadBytesPerTurn = 16 * 1024;  // as they come: tiny records cost the most
  static constexpr int kFramesPerTurn = 32;
  static constexpr std::size_t kInflatedBytesPerTurn = 64 * 1024;  // of compressed messages
  static constexpr int kRequestsPerTurn = 8;
  // A client that does not read its responses is not heard any more.
  static constexpr std::size_t kUnreadResponseBytesMax = 64 * 1024;
  // All together who had their share of an earlier turn and have more to say.
  static constexpr std::chrono::microseconds kGreedyTimePerTurn{200};
  static constexpr std::size_t kBytesPerSend = 64 * 1024;
  static constexpr std::size_t kEndsPerTurn =
      32;  // connections whose handlers are told of their end, and that are removed
  // A fan-out to more than this is bulk.
  static constexpr std::size_t kFanOutAtOnceMax = 128;
  // A group is sent before another fan-out has its turn, and before the clock is looked at. Its bytes are bounded too:
  // the kernel copies them, and takes memory for them where the client does not read.
  static constexpr std::size_t kBulkSendsPerGroup = 16;
  static constexpr std::size_t kBulkBytesPerGroup = 64 * 1024;
  static constexpr std::size_t kBulkGroupsPerTurn = 16;
  static constexpr std::chrono::microseconds kBulkTimePerTurn{400};

  Worker(int index, const WorkerConfig& config, const Clock& clock, RequestHandler& requests,
         std::unique_ptr<SendBatch> send_batch);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Runs the loop on the calling thread until stop().
  void run();

  // --- From any thread ---

  void stop();
  void post(std::unique_ptr<Mail> mail, std::size_t bytes = 0);
  // Destroys what was posted and not delivered; only once the loop has ended and nobody posts any more.
  void discard_mail();
  // Takes over an accepted, non-blocking socket. With an identity it speaks TLS.
  void adopt(int fd, const IpAddress& peer, std::shared_ptr<const TlsIdentity> tls = nullptr);
  int index() const { return index_; }
  // Including those on their way here.
  std::int64_t connections() const { return connections_.load(std::memory_order_relaxed); }
  const WorkerCounters& counters() const { return counters_; }
  // Brings send_queue_bytes up to date within a turn.
  void count_queues();
  std::size_t mailbox_bytes() const { return mailbox_.bytes(); }

  // --- On the worker's thread only ---

  bool in_loop_thread() const { return std::this_thread::get_id() == thread_; }
  Time now() const { return now_; }  // of this turn
  TimingWheel& wheel() { return wheel_; }
  const Clock& clock() const { return clock_; }

  // Mail to another worker. Above its high-water mark this worker stops reading sockets until the other one has caught
  // up.
  void post_to(Worker& other, std::unique_ptr<Mail> mail, std::size_t bytes);

  void respond(ConnectionId connection, http::Response response);
  // Until the request is answered, the connection ends as soon as its client ends it, or its side of it; else that is
  // noticed only with the answer. Not noticed behind a further request that came meanwhile.
  void watch_for_end(ConnectionId connection);
  // Answers the handshake with 101 and hands messages to `handler`, which must outlive the connection.
  void upgrade(ConnectionId connection, std::string_view response_bytes, const WebSocketOptions& options,
               MessageHandler& handler);
  // Queues a whole frame; it is sent at the end of the turn. A connection that is closing or gone takes nothing. Frames
  // of a connection keep their order.
  void send(ConnectionId connection, const FrameRef& frame, Urgency urgency = Urgency::kThisTurn);
  // Before the same is sent to so many: the urgency to send it with.
  Urgency begin_fan_out(std::size_t receivers);
  // The close handshake: what is queued is sent first, then the code; cut 5 s later if the client does not answer.
  void close(ConnectionId connection, ws::CloseCode code);
  // Ends the TCP connection at the end of the turn, without a close frame.
  void cut(ConnectionId connection);
  void resume_reading(ConnectionId connection);
  // Ends HTTP connections that wait for a next request; others end after their response from now on.
  void refuse_new_requests();
  bool is_open(ConnectionId connection) const;

  struct Impl;  // Asio lives there

 private:
  friend struct Impl;

  const int index_;
  const WorkerConfig config_;
  const Clock& clock_;
  RequestHandler& requests_;
  std::thread::id thread_;
  Time now_;
  TimingWheel wheel_;
  WorkerCounters counters_;
  std::atomic<std::int64_t> connections_{0};
  Mailbox mailbox_;
  std::uint64_t awaited_workers_ = 0;  // bits of those whose full mailboxes keep us from reading
  std::unique_ptr<Impl> impl_;
};

}  // namespace rt::net
