// One TCP connection as its worker keeps it. At rest after the handshake it owns no buffer.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/timing_wheel.h"
#include "io/net/send_queue.h"
#include "io/net/tls.h"
#include "io/net/worker.h"

namespace rt::net {

enum class Phase : std::uint8_t {
  kHttp,       // requests are read and answered
  kWebSocket,  // messages go both ways
  kClosing,    // we sent or queued a close frame and wait for the client's
  kLingering,  // our side is ended; what still comes is thrown away until the client's side is too
  kGone,       // removed at the end of the turn
};

// What exists only while a connection speaks HTTP.
struct HttpPart {
  enum class Stage : std::uint8_t { kIdle, kHead, kBody, kAnswering };  // kIdle: kept alive, between requests

  HttpPart(const http::ParserLimits& limits, const IpAddress& address) : parser(limits), peer(address) {}
  http::RequestParser parser;
  IpAddress peer;  // or whom its PROXY header names
  // What has come of the header, until it is complete; null: there is none to come. At most proxy::kHeaderBytesMax.
  std::unique_ptr<std::string> proxy_header;
  Stage stage = Stage::kHead;
  http::BodyOf body_of = http::BodyOf::kGet;
  bool keep_alive = true;
  bool is_watched = false;  // until the answer: the client's end is waited for
};

struct Connection;

// In which list of those to be flushed.
enum class Dirty : std::uint8_t {
  kNo,
  kSoon,  // all of them go out at the end of the turn
  kBulk,  // so many in each turn
};

// Connections that one fan-out made dirty. Several fan-outs take turns, so that a small one need not wait for a huge
// one.
struct BulkGroup {
  std::vector<Connection*> connections;
  std::size_t at = 0;  // those before it had their turn

  void forget_served() {
    connections.erase(connections.begin(), connections.begin() + static_cast<std::ptrdiff_t>(std::exchange(at, 0)));
  }
};

// Of a WebSocket, to its handler.
enum class EndIs : std::uint8_t { kAhead, kToBeTold, kTold };

// Input that is not looked at yet.
struct Unread {
  std::string bytes;
  std::size_t at = 0;  // what is before it has been worked on

  std::span<char> rest() { return std::span(bytes).subspan(at); }
};

struct Connection {
  using Descriptor = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  Connection(Worker::Impl& owner, boost::asio::io_context& io, int fd, ConnectionId name);

  Worker::Impl& worker;
  Descriptor descriptor;
  const ConnectionId id;
  Phase phase = Phase::kHttp;
  bool read_armed = false;
  bool write_armed = false;
  Dirty dirty = Dirty::kNo;
  bool in_bulk = false;    // in a group, though perhaps dirty no more
  bool paused = false;     // by its handler
  bool consuming = false;  // its input is being worked on further up the stack
  bool linger_after_flush = false;
  bool compressed = false;   // permessage-deflate was agreed on
  bool held_back = false;    // too many of its responses wait to be sent
  bool input_ended = false;  // the client said so within TLS; what came before it is worked on first
  bool postponed = false;    // in the list of those that go on in the next turn
  EndIs end = EndIs::kAhead;
  std::uint32_t held_bytes = 0;  // reader, unread and TLS, as last added to the worker's sum
  ws::ReaderLimits limits;
  MessageHandler* handler = nullptr;  // once upgraded
  Traffic* traffic = nullptr;         // until its handler was told of the end
  ws::Reader reader;
  SendQueue queue;
  std::unique_ptr<HttpPart> http;
  std::unique_ptr<TlsSession> tls;  // null: its bytes are what they are
  std::unique_ptr<Unread> unread;
  Time last_received;
  std::optional<Time> blocked_since;  // the kernel has taken nothing since
  Deadline deadline;

  int fd() { return descriptor.native_handle(); }
  // A request was read and not answered yet.
  bool is_answering() const { return phase == Phase::kHttp && http->stage == HttpPart::Stage::kAnswering; }
  // Only the end of its input is of interest, and nothing came before that.
  bool is_watched() const { return is_answering() && http->is_watched && !unread; }
  // Nothing stands in the way of reading on.
  bool may_be_heard() const { return !paused && (!is_answering() || is_watched()) && !postponed && !held_back; }
  bool has_output() const { return !queue.empty() || (tls && !tls->unsent().empty()); }
  std::size_t output_bytes() const { return queue.bytes() + (tls ? tls->unsent().size() : 0); }
};

}  // namespace rt::net
