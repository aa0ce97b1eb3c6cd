#include "io/net/worker.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/check.h"
#include "io/net/worker_impl.h"

namespace rt::net {
namespace {

constexpr std::size_t kMailsPerTurn = 1024;
constexpr std::chrono::seconds kLastAnswerTimeout{5};  // of a worker that refuses new requests

class AdoptMail final : public Mail {
 public:
  AdoptMail(Worker::Impl& worker, int fd, const IpAddress& peer, std::shared_ptr<const TlsIdentity> tls)
      : worker_(worker), fd_(fd), peer_(peer), tls_(std::move(tls)) {}
  ~AdoptMail() override {
    if (fd_ >= 0) ::close(fd_);
  }
  void deliver() override { worker_.open(std::exchange(fd_, -1), peer_, tls_.get()); }

 private:
  Worker::Impl& worker_;
  int fd_;
  IpAddress peer_;
  std::shared_ptr<const TlsIdentity> tls_;
};

class StopMail final : public Mail {
 public:
  explicit StopMail(Worker::Impl& worker) : worker_(worker) {}
  void deliver() override { worker_.stopping = true; }

 private:
  Worker::Impl& worker_;
};

// Put behind what is in a full mailbox; once there, the sender may read again.
class CaughtUpMail final : public Mail {
 public:
  CaughtUpMail(Worker& sender, Worker::Impl& sender_impl, int receiver)
      : sender_(sender), sender_impl_(sender_impl), receiver_(receiver) {}
  void deliver() override {
    class GoOnMail final : public Mail {
     public:
      GoOnMail(Worker::Impl& impl, int receiver) : impl_(impl), receiver_(receiver) {}
      void deliver() override { impl_.let_go_of_worker(receiver_); }

     private:
      Worker::Impl& impl_;
      int receiver_;
    };
    sender_.post(std::make_unique<GoOnMail>(sender_impl_, receiver_));
  }

 private:
  Worker& sender_;
  Worker::Impl& sender_impl_;
  int receiver_;
};

void connection_deadline(void* connection) {
  auto& c = *static_cast<Connection*>(connection);
  c.worker.on_deadline(c);
}

}  // namespace

Connection::Connection(Worker::Impl& owner, boost::asio::io_context& io, int fd, ConnectionId name)
    : worker(owner), descriptor(io.get_executor(), fd), id(name), deadline(connection_deadline, this) {}

Worker::Impl::Impl(Worker& owner, std::unique_ptr<SendBatch> send_batch) : worker(owner), batch(std::move(send_batch)) {
  scratch.resize(kReadBytesPerTurn);
}

Worker::Impl::~Impl() {
  // Connections give their descriptors back to the io_context, so they go before it.
  slots.clear();
}

Worker::Worker(int index, const WorkerConfig& config, const Clock& clock, RequestHandler& requests,
               std::unique_ptr<SendBatch> send_batch)
    : index_(index),
      config_(config),
      clock_(clock),
      requests_(requests),
      now_(clock.now()),
      wheel_(now_),
      impl_(std::make_unique<Impl>(*this, std::move(send_batch))) {
  RT_CHECK(index >= 0 && index < 64);
}

Worker::~Worker() = default;

void Worker::run() {
  thread_ = std::this_thread::get_id();
  impl_->run();
}

void Worker::stop() { post(std::make_unique<StopMail>(*impl_)); }

void Worker::post(std::unique_ptr<Mail> mail, std::size_t bytes) {
  if (mailbox_.push(std::move(mail), bytes)) impl_->wake();
}

void Worker::post_to(Worker& other, std::unique_ptr<Mail> mail, std::size_t bytes) {
  RT_DCHECK(in_loop_thread());
  other.post(std::move(mail), bytes);
  const std::uint64_t bit = std::uint64_t{1} << other.index_;
  if (other.mailbox_.bytes() > Mailbox::kHighWaterBytes && (awaited_workers_ & bit) == 0) {
    awaited_workers_ |= bit;
    other.post(std::make_unique<CaughtUpMail>(*this, *impl_, other.index_));
  }
}

void Worker::discard_mail() {
  while (mailbox_.pop()) {
  }
}

void Worker::adopt(int fd, const IpAddress& peer, std::shared_ptr<const TlsIdentity> tls) {
  connections_.fetch_add(1, std::memory_order_relaxed);
  post(std::make_unique<AdoptMail>(*impl_, fd, peer, std::move(tls)));
}

void Worker::respond(ConnectionId id, http::Response response) {
  Connection* c = impl_->find(id);
  if (c == nullptr || c->phase != Phase::kHttp) return;
  impl_->respond(*c, std::move(response));
}

void Worker::watch_for_end(ConnectionId id) {
  Connection* c = impl_->find(id);
  if (c == nullptr || !c->is_answering()) return;
  c->http->is_watched = true;
  if (c->is_watched()) impl_->go_on(*c);
}

void Worker::upgrade(ConnectionId id, std::string_view response_bytes, const WebSocketOptions& options,
                     MessageHandler& handler) {
  Connection* c = impl_->find(id);
  RT_CHECK(c != nullptr && c->phase == Phase::kHttp && c->http->stage == HttpPart::Stage::kAnswering);
  impl_->enqueue_unlimited(*c, FrameRef(std::string(response_bytes)));
  c->phase = Phase::kWebSocket;
  c->http.reset();
  requests_.on_answered(*this, id, 101);
  c->limits = options.limits;
  c->compressed = options.compression == Compression::kAgreed;
  c->traffic = options.traffic;
  c->handler = &handler;
  c->last_received = now_;
  c->deadline.set(wheel_, now_ + config_.idle_timeout);
  impl_->go_on(*c);
}

void Worker::send(ConnectionId id, const FrameRef& frame, Urgency urgency) {
  Connection* c = impl_->find(id);
  if (c == nullptr || c->phase != Phase::kWebSocket) return;
  impl_->enqueue(*c, frame, urgency);
}

Urgency Worker::begin_fan_out(std::size_t receivers) {
  if (receivers <= kFanOutAtOnceMax) return Urgency::kThisTurn;
  if (impl_->bulk.empty() || !impl_->bulk.back().connections.empty()) impl_->bulk.emplace_back();
  return Urgency::kBulk;
}

void Worker::close(ConnectionId id, ws::CloseCode code) {
  Connection* c = impl_->find(id);
  if (c == nullptr || c->phase != Phase::kWebSocket) return;
  impl_->close(*c, static_cast<std::uint16_t>(code));
}

void Worker::cut(ConnectionId id) {
  if (Connection* c = impl_->find(id)) impl_->drop(*c);
}

void Worker::resume_reading(ConnectionId id) {
  Connection* c = impl_->find(id);
  if (c == nullptr || !c->paused) return;
  c->paused = false;
  impl_->go_on(*c);
}

void Worker::refuse_new_requests() {
  impl_->refusing_requests = true;
  for (auto& slot : impl_->slots) {
    Connection* c = slot.connection.get();
    if (c == nullptr || c->phase != Phase::kHttp || c->http->stage != HttpPart::Stage::kIdle) continue;
    if (!c->has_output()) {
      impl_->part(*c);
      continue;
    }
    // An answer is on its way still; who does not read it must not hold the drain up.
    c->linger_after_flush = true;
    const Time due = now_ + kLastAnswerTimeout;
    if (!c->deadline.is_set() || c->deadline.at() > due) c->deadline.set(wheel_, due);
  }
}

bool Worker::is_open(ConnectionId id) const {
  const Connection* c = impl_->find(id);
  return c != nullptr && (c->phase == Phase::kHttp || c->phase == Phase::kWebSocket);
}

void Worker::Impl::run() {
  while (!stopping) {
    // Where nothing is to be done, the turn begins with the handler that was waited for, which looks at the clock
    // first.
    const Time before = worker.now_;
    if (!has_work()) io.run_one();
    if (worker.now_ == before) touch();
    const Time began = worker.now_;
    const Time end = began + kTurnTime;
    // Nearly every handler looks at the clock anyway.
    for (int i = 0; i < kHandlersPerTurn && worker.now_ < end && !stopping; ++i) {
      if (io.poll_one() == 0) break;
    }
    consume_postponed();
    end_turn();
    count_turn(began);
  }
}

void Worker::Impl::count_turn(Time began) {
  touch();
  WorkerCounters& counters = worker.counters_;
  counters.turns.record(std::chrono::duration_cast<std::chrono::microseconds>(worker.now_ - began).count());
  worker.count_queues();
  counters.receive_bytes.set(all_held_bytes);
}

void Worker::count_queues() { counters_.send_queue_bytes.set(impl_->all_queue_bytes); }

bool Worker::Impl::has_work() const {
  return !dirty.empty() || !bulk.empty() || !postponed.empty() || !ended.empty() || !gone.empty();
}

void Worker::Impl::wake() {
  boost::asio::post(io, [this] { drain_mail(); });
}

void Worker::Impl::drain_mail() {
  touch();
  const Time end = worker.now_ + Worker::kTurnTime;
  for (std::size_t i = 0; i < kMailsPerTurn && worker.now_ < end; ++i) {
    const std::unique_ptr<Mail> mail = worker.mailbox_.pop();
    if (!mail) return;
    mail->deliver();
    touch();
  }
  wake();
}

void Worker::Impl::count_bytes(Connection& c, Counter Traffic::* direction, std::size_t bytes) {
  WorkerCounters& counters = worker.counters_;
  if (c.traffic == nullptr) return (counters.others.*direction).add(bytes);
  (counters.sockets.*direction).add(bytes);
  (c.traffic->*direction).add(bytes);
}

void Worker::Impl::end_turn() {
  tell_ends();  // handlers that are told of an end may send to others
  flush();
  inflater.let_go();
  reap();
  arm_timer();
}

void Worker::Impl::arm_timer() {
  const auto due = worker.wheel_.next_due();
  if (!due || (timer_at && *timer_at <= *due)) return;
  timer_at = due;
  timer.expires_at(*due);  // cancels an earlier wait
  timer.async_wait([this](const boost::system::error_code& error) {
    if (!error) on_timer();
  });
}

void Worker::Impl::on_timer() {
  timer_at.reset();
  touch();
  worker.wheel_.advance(worker.now_);
}

void Worker::Impl::open(int fd, const IpAddress& peer, const TlsIdentity* tls) {
  std::uint32_t index;
  if (free_slots.empty()) {
    index = static_cast<std::uint32_t>(slots.size());
    slots.emplace_back();
  } else {
    index = free_slots.back();
    free_slots.pop_back();
  }
  Slot& slot = slots[index];
  slot.connection = std::make_unique<Connection>(*this, io, fd, ConnectionId{index, slot.generation});
  Connection& c = *slot.connection;
  c.http = std::make_unique<HttpPart>(worker.config_.http, peer);
  if (worker.config_.proxy_protocol && any_contains(worker.config_.trusted_proxies, peer))
    c.http->proxy_header = std::make_unique<std::string>();
  if (tls != nullptr) c.tls = std::make_unique<TlsSession>(*tls);
  c.last_received = worker.now_;
  c.deadline.set(worker.wheel_, worker.now_ + worker.config_.header_timeout);
  arm_read(c);
}

Connection* Worker::Impl::find(ConnectionId id) {
  if (id.slot >= slots.size() || slots[id.slot].generation != id.generation) return nullptr;
  return slots[id.slot].connection.get();
}

void Worker::Impl::report_ended(Connection& c) {
  if (c.handler == nullptr || c.end != EndIs::kAhead) return;
  c.end = EndIs::kToBeTold;
  ended.push_back(c.id);
}

void Worker::Impl::tell_end(Connection& c) {
  if (c.end != EndIs::kToBeTold) return;
  c.end = EndIs::kTold;
  c.traffic = nullptr;
  c.handler->on_closed(c.id);
}

void Worker::Impl::tell_ends() {
  for (std::size_t left = kEndsPerTurn; left > 0 && !ended.empty(); --left) {
    const ConnectionId id = ended.front();
    ended.pop_front();
    if (Connection* c = find(id)) tell_end(*c);
  }
}

void Worker::Impl::drop(Connection& c) {
  if (c.phase == Phase::kGone) return;
  report_ended(c);
  if (c.phase == Phase::kHttp && c.http->stage == HttpPart::Stage::kAnswering)
    worker.requests_.on_answered(worker, c.id, std::nullopt);
  c.phase = Phase::kGone;
  all_queue_bytes -= c.output_bytes();
  c.deadline.cancel();
  gone.push_back(&c);
}

// Resets the connection: what the kernel holds for a client that takes nothing is freed at once.
void Worker::Impl::abort(Connection& c) {
  const ::linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(c.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  drop(c);
}

void Worker::Impl::reap() {
  if (gone.empty()) return;
  const auto is_gone = [](const Connection* c) { return c->phase == Phase::kGone; };
  std::erase_if(dirty, is_gone);
  for (BulkGroup& group : bulk) {
    group.forget_served();
    std::erase_if(group.connections, is_gone);
  }
  // Those that go while others are told of an end may be in the lists above again: the next turn removes them.
  for (std::size_t left = std::min(kEndsPerTurn, gone.size()); left > 0; --left) {
    Connection* c = gone.front();
    gone.pop_front();
    tell_end(*c);
    all_held_bytes -= c->held_bytes;
    Slot& slot = slots[c->id.slot];
    // 0 names no connection, and what waits with this name may wait for long: no name comes back soon.
    if (++slot.generation == 0) slot.generation = 1;
    free_slots.push_back(c->id.slot);
    slot.connection.reset();
    worker.connections_.fetch_sub(1, std::memory_order_relaxed);
  }
}

void Worker::Impl::let_go_of_worker(int index) {
  worker.awaited_workers_ &= ~(std::uint64_t{1} << index);
  if (worker.awaited_workers_ != 0) return;
  for (const ConnectionId id : std::exchange(held, {})) {
    if (Connection* c = find(id); c != nullptr && c->phase != Phase::kGone && c->may_be_heard()) arm_read(*c);
  }
}

void Worker::Impl::on_deadline(Connection& c) {
  const Time now = worker.now_;
  const WorkerConfig& config = worker.config_;
  if (c.blocked_since && now - *c.blocked_since >= config.send_blocked_timeout) {
    if (c.phase == Phase::kWebSocket) {
      slow_consumer(c, worker.counters_.slow_consumers_blocked);
    } else {
      abort(c);
    }
    return;
  }
  switch (c.phase) {
    case Phase::kHttp:
      if (c.http->proxy_header) return refuse_proxy_header(c, "it did not arrive in time");
      if (c.http->stage == HttpPart::Stage::kAnswering) return;
      if (c.http->stage == HttpPart::Stage::kIdle) return c.has_output() ? drop(c) : part(c);
      if (c.tls && !c.tls->is_established()) return fail_handshake(c, "it was not complete in time");
      return refuse(c, {408, c.http->stage == HttpPart::Stage::kHead ? "the headers did not arrive in time"
                                                                     : "the body did not arrive in time"});
    case Phase::kWebSocket: {
      const Time idle_at = c.last_received + config.idle_timeout;
      if (now >= idle_at) return close(c, static_cast<std::uint16_t>(ws::CloseCode::kNormal));
      const Time blocked_at = c.blocked_since ? *c.blocked_since + config.send_blocked_timeout : Time::max();
      c.deadline.set(worker.wheel_, std::min(idle_at, blocked_at));
      return;
    }
    case Phase::kClosing:
      return abort(c);
    case Phase::kLingering:
      return part(c);
    case Phase::kGone:
      return;
  }
}

}  // namespace rt::net
