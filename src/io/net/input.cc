// What comes in: bytes become requests and messages.

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/check.h"
#include "io/net/worker_impl.h"
#include "protocol/http/forwarded.h"
#include "protocol/proxy/header.h"

namespace rt::net {
namespace {

// More compressed input than this waits until all others had their turn.
constexpr std::size_t kInflatedAtOnceBytesMax = 1024;
// A longer body, such as a scrape of many megabytes, is sent from where it is.
constexpr std::size_t kCopiedBodyBytesMax = 16 * 1024;

struct OnReadable {
  Worker::Impl* worker;
  ConnectionId id;
  void operator()(const boost::system::error_code& error) const { worker->on_readable(id, static_cast<bool>(error)); }
};

}  // namespace

void Worker::Impl::arm_read(Connection& c) {
  if (c.input_ended) return on_end_of_input(c);
  if (c.read_armed) return;
  c.read_armed = true;
  c.descriptor.async_wait(boost::asio::posix::descriptor_base::wait_read, OnReadable{this, c.id});
}

void Worker::Impl::on_readable(ConnectionId id, bool failed) {
  Connection* c = find(id);
  if (c == nullptr || c->phase == Phase::kGone) return;
  c->read_armed = false;
  touch();
  if (failed) return drop(*c);
  if (worker.awaited_workers_ != 0) {
    held.push_back(id);
    return;
  }
  read(*c);
}

void Worker::Impl::read(Connection& c) {
  const bool is_encrypted = c.tls && c.phase != Phase::kLingering;
  const std::size_t room = is_encrypted ? kTlsReadBytesPerTurn : kReadBytesPerTurn;
  const ssize_t got = recv(c.fd(), scratch.data(), room, MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return arm_read(c);
    return drop(c);
  }
  if (got == 0) return on_end_of_input(c);
  c.last_received = worker.now_;
  std::span<char> in(scratch.data(), static_cast<std::size_t>(got));
  if (c.http && c.http->proxy_header && !take_proxy_header(c, in)) return;
  if (is_encrypted) {
    read_encrypted(c, in);
  } else {
    take_in(c, in);
  }
}

// A client may end its side behind its last request or its close frame, and still wait for the answer.
void Worker::Impl::on_end_of_input(Connection& c) {
  if (!c.has_output()) return part(c);
  if (c.phase != Phase::kHttp && !c.linger_after_flush) return drop(c);
  c.linger_after_flush = true;
}

void Worker::Impl::take_in(Connection& c, std::span<char> in) {
  count_bytes(c, &Traffic::in, in.size());
  // How much this comes to is known only when it is inflated.
  if (c.compressed && c.phase != Phase::kLingering && in.size() > kInflatedAtOnceBytesMax && !c.unread) {
    keep_unread(c, in, nullptr);
    account_held(c);
    return postpone(c);
  }
  consume(c, in);
}

// It comes before everything else. False: there is nothing behind it yet, or the connection is gone.
bool Worker::Impl::take_proxy_header(Connection& c, std::span<char>& in) {
  std::string& so_far = *c.http->proxy_header;
  const std::size_t had = so_far.size();
  so_far.append(in.data(), std::min(in.size(), proxy::kHeaderBytesMax - had));
  const auto header = proxy::parse_header(so_far);
  if (!header) {
    refuse_proxy_header(c, header.error().message);
    return false;
  }
  if (*header) {
    if ((*header)->source) c.http->peer = *(*header)->source;
    in = in.subspan((*header)->bytes - had);
    c.http->proxy_header.reset();
    if (!in.empty()) return true;
  }
  arm_read(c);
  return false;
}

// Without an answer, for who knows what the other side speaks.
void Worker::Impl::refuse_proxy_header(Connection& c, const std::string& reason) {
  worker.counters_.proxy_headers_refused.add();
  worker.requests_.on_refused(
      worker, c.http->peer, RequestHandler::Expected::kProxyHeader,
      {0,
       "closed a connection of a trusted proxy, which has to begin with a PROXY header (PROXY_PROTOCOL): " + reason});
  drop(c);
}

// Works on `in` and on what was kept back before. Keeps what cannot be worked on yet, and waits for more where that
// makes sense.
void Worker::Impl::consume(Connection& c, std::span<char> in) {
  std::unique_ptr<Unread> kept = std::move(c.unread);
  if (kept) {
    kept->bytes.erase(0, std::exchange(kept->at, 0)).append(in.data(), in.size());
    in = kept->rest();
  }
  c.consuming = true;
  bool go_on = true;
  int requests = 0;
  while (go_on) {
    switch (c.phase) {
      case Phase::kHttp:
        go_on = consume_http(c, in);
        if (go_on && ++requests >= kRequestsPerTurn && !in.empty() && c.phase == Phase::kHttp) {
          postpone(c);
          go_on = false;
        }
        break;
      case Phase::kWebSocket:
      case Phase::kClosing:
        go_on = consume_frames(c, in);
        break;
      case Phase::kLingering:
      case Phase::kGone:
        in = {};
        go_on = false;
        break;
    }
  }
  c.consuming = false;
  if (c.phase == Phase::kGone) return;
  if (!in.empty()) keep_unread(c, in, std::move(kept));
  account_held(c);
  if (c.may_be_heard()) arm_read(c);
}

// `rest` is the end of `earlier` if there is one.
void Worker::Impl::keep_unread(Connection& c, std::span<const char> rest, std::unique_ptr<Unread> earlier) {
  if (earlier) {
    earlier->at = earlier->bytes.size() - rest.size();
    c.unread = std::move(earlier);
  } else {
    c.unread = std::make_unique<Unread>(Unread{.bytes = std::string(rest.data(), rest.size())});
  }
}

// One request at most; true: there may be more to do.
bool Worker::Impl::consume_http(Connection& c, std::span<char>& in) {
  using Stage = HttpPart::Stage;
  HttpPart& http = *c.http;
  if (http.stage == Stage::kAnswering || in.empty() || c.linger_after_flush) {
    if (c.linger_after_flush) in = {};
    return false;
  }
  if (c.queue.bytes() > kUnreadResponseBytesMax) {
    c.held_back = true;
    return false;
  }
  if (http.stage == Stage::kIdle) {
    http.stage = Stage::kHead;
    c.deadline.set(worker.wheel_, worker.now_ + worker.config_.header_timeout);
  }
  std::string_view view(in.data(), in.size());
  const auto complete = http.parser.feed(view);
  in = in.last(view.size());
  if (!complete) {
    in = {};
    refuse(c, complete.error());
    return false;
  }
  if (!*complete) {
    if (http.parser.take_expects_continue())
      enqueue_unlimited(c, FrameRef(std::string("HTTP/1.1 100 Continue\r\n\r\n")));
    if (http.stage == Stage::kHead && http.parser.head_complete()) {
      http.stage = Stage::kBody;
      c.deadline.set(worker.wheel_, worker.now_ + worker.config_.body_timeout);
    }
    return false;
  }
  http::Request request = http.parser.take();
  request.client = http::client_of(request, http.peer, worker.config_.trusted_proxies);
  http.stage = Stage::kAnswering;
  http.body_of = request.method == "HEAD" ? http::BodyOf::kHead : http::BodyOf::kGet;
  http.keep_alive = request.keep_alive;
  c.deadline.cancel();
  worker.counters_.requests.add();
  worker.requests_.on_request(worker, c.id, std::move(request));
  return true;
}

// Until the input is used up, the handler wants a pause or the connection has had its share of the turn.
bool Worker::Impl::consume_frames(Connection& c, std::span<char>& in) {
  const Time began = worker.now_;
  std::size_t inflated = 0;
  int frames = 0;
  bool heard = false;
  while (!c.paused && !c.postponed && (c.phase == Phase::kWebSocket || c.phase == Phase::kClosing)) {
    if (c.linger_after_flush) {
      in = {};
      break;
    }
    const std::size_t before = in.size();
    const ws::Step step = c.reader.next(in, c.limits, c.compressed ? &inflater : nullptr);
    if (step.kind == ws::Step::Kind::kNeedMore) break;
    heard = heard || step.kind == ws::Step::Kind::kMessage;
    if (c.compressed && step.payload.size() > before - in.size()) {
      inflated += step.payload.size();
      worker.counters_.bytes_inflated.add(step.payload.size());
    }
    on_step(c, step);
    // Few bytes can be many frames, and many more when inflated: others have their turn in between.
    const bool had_its_share = ++frames >= kFramesPerTurn || inflated > kInflatedBytesPerTurn;
    if (had_its_share && !in.empty() && c.phase != Phase::kLingering && c.phase != Phase::kGone) postpone(c);
  }
  if (heard) {
    touch();
    c.handler->on_heard(worker.now_ - began);
  }
  return false;
}

// What waits is worked on in a later turn and not here: whoever calls may be in the midst of another connection's
// request, and a chain of such has no end.
void Worker::Impl::go_on(Connection& c) {
  if (c.consuming || c.phase == Phase::kGone || !c.may_be_heard()) return;
  if (c.unread) {
    postpone(c);
  } else {
    arm_read(c);
  }
}

void Worker::Impl::postpone(Connection& c) {
  c.postponed = true;
  postponed.push_back(c.id);
}

// In the order in which they had their last share, as far as the time goes.
void Worker::Impl::consume_postponed() {
  if (postponed.empty()) return;
  touch();
  const Time end = worker.now_ + kGreedyTimePerTurn;
  for (std::size_t left = postponed.size(); left > 0 && worker.now_ < end; --left) {
    const ConnectionId id = postponed.front();
    postponed.pop_front();
    Connection* c = find(id);
    if (c == nullptr) continue;
    c->postponed = false;
    if (c->tls && !c->tls->waiting.empty()) {
      go_on_with_handshake(*c);
    } else if (c->phase != Phase::kGone) {
      consume(*c, {});
    }
    touch();
  }
}

void Worker::Impl::on_step(Connection& c, const ws::Step& step) {
  const bool open = c.phase == Phase::kWebSocket;
  switch (step.kind) {
    case ws::Step::Kind::kMessage:
      if (open && c.handler->on_message(c.id, step.opcode, step.payload) == Reading::kPause) c.paused = true;
      return;
    case ws::Step::Kind::kPing:
      if (open) enqueue(c, FrameRef(ws::make_frame(ws::Opcode::kPong, {step.payload})));
      return;
    case ws::Step::Kind::kClose: {
      // The answer to our own close frame, or a close that we answer with the same code.
      const auto code = ws::parse_close_payload(step.payload);
      if (open) close(c, code ? *code : static_cast<std::uint16_t>(code.error()));
      c.linger_after_flush = true;
      if (!c.has_output()) linger(c);
      return;
    }
    case ws::Step::Kind::kViolation:
      worker.counters_.protocol_violations.add();
      if (open) close(c, static_cast<std::uint16_t>(step.violation));
      c.linger_after_flush = true;
      if (!c.has_output()) linger(c);
      return;
    case ws::Step::Kind::kPong:
    case ws::Step::Kind::kNeedMore:
      return;
  }
}

// The memory that incomplete input holds has a bound for the whole worker too. Who hits it, goes.
void Worker::Impl::account_held(Connection& c) {
  const std::size_t held_now = c.reader.bytes_held() + (c.unread ? c.unread->bytes.capacity() : 0) +
                               (c.http ? c.http->parser.bytes_held() : 0) + (c.tls ? c.tls->bytes_held() : 0);
  all_held_bytes += held_now - c.held_bytes;
  c.held_bytes = static_cast<std::uint32_t>(held_now);
  if (all_held_bytes <= worker.config_.all_receive_bytes_max || held_now == 0) return;
  worker.counters_.receive_cap_closes.add();
  if (c.phase == Phase::kWebSocket) {
    close(c, static_cast<std::uint16_t>(ws::CloseCode::kTryAgainLater));
    c.linger_after_flush = true;
  } else {
    drop(c);
  }
}

void Worker::Impl::enqueue_response(Connection& c, http::Response response, http::BodyOf body_of, bool keep_alive) {
  const std::string date = http::http_date(worker.clock_.unix_seconds());
  if (response.body.size() > kCopiedBodyBytesMax)
    response.shared_body = std::make_shared<const std::string>(std::exchange(response.body, {}));
  enqueue_unlimited(c, FrameRef(http::serialize(response, body_of, keep_alive, date)));
  if (response.shared_body && body_of == http::BodyOf::kGet) enqueue_unlimited(c, FrameRef(response.shared_body));
}

void Worker::Impl::respond(Connection& c, http::Response response) {
  HttpPart& http = *c.http;
  RT_CHECK(http.stage == HttpPart::Stage::kAnswering);
  const bool keep_alive = http.keep_alive && !refusing_requests;
  const int status = response.status;
  enqueue_response(c, std::move(response), http.body_of, keep_alive);
  http.stage = HttpPart::Stage::kIdle;
  http.is_watched = false;
  worker.requests_.on_answered(worker, c.id, status);
  c.linger_after_flush = c.linger_after_flush || !keep_alive;
  const Time idle_at = worker.now_ + worker.config_.idle_timeout;
  c.deadline.set(worker.wheel_,
                 c.blocked_since ? std::min(idle_at, *c.blocked_since + worker.config_.send_blocked_timeout) : idle_at);
  if (all_queue_bytes > worker.config_.all_send_queues_bytes_max) relieve_queues();
  go_on(c);
}

void Worker::Impl::refuse(Connection& c, const http::Refusal& refusal) {
  enqueue_response(c, http::Response::text(refusal.status, refusal.reason + "\n"), http::BodyOf::kGet, false);
  c.linger_after_flush = true;
  c.deadline.set(worker.wheel_, worker.now_ + worker.config_.header_timeout);
  c.http->stage = HttpPart::Stage::kIdle;
  worker.requests_.on_refused(worker, c.http->peer, RequestHandler::Expected::kRequest, refusal);
}

}  // namespace rt::net
