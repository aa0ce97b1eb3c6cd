// What goes out: queues, the flush at the end of a turn, and how a connection ends.

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "io/net/worker_impl.h"

namespace rt::net {
namespace {

constexpr std::size_t kConnectionsPerBatch = 256;
constexpr std::chrono::seconds kCloseTimeout{
    5};  // for the client's close frame, or for a slow consumer to take its 1013
constexpr std::chrono::seconds kLingerTimeout{2};          // for the client to end its side
constexpr std::chrono::milliseconds kLookAgainAfter{100};  // whether the kernel has sent what it took
// Besides its payload a frame has its header and a Phoenix envelope.
constexpr std::size_t kEnvelopeBytes = 4096;

struct OnWritable {
  Worker::Impl* worker;
  ConnectionId id;
  void operator()(const boost::system::error_code& error) const { worker->on_writable(id, static_cast<bool>(error)); }
};

}  // namespace

// Never below the largest frame: a single message must not make a client slow.
std::size_t Worker::Impl::queue_bytes_max(const Connection& c) const {
  return std::max(worker.config_.send_queue_bytes_max, c.limits.message_bytes_max + kEnvelopeBytes);
}

void Worker::Impl::enqueue_unlimited(Connection& c, FrameRef frame, Urgency urgency) {
  all_queue_bytes += frame.bytes().size();
  c.queue.push(std::move(frame));
  if (!c.write_armed) mark_dirty(c, urgency);
}

void Worker::Impl::mark_dirty(Connection& c, Urgency urgency) {
  if (c.dirty == Dirty::kSoon) return;
  if (urgency == Urgency::kThisTurn) {
    c.dirty = Dirty::kSoon;
    dirty.push_back(&c);
  } else if (c.dirty == Dirty::kNo) {
    c.dirty = Dirty::kBulk;
    if (std::exchange(c.in_bulk, true)) return;
    if (bulk.empty()) bulk.emplace_back();
    bulk.back().connections.push_back(&c);
  }
}

void Worker::Impl::enqueue(Connection& c, FrameRef frame, Urgency urgency) {
  enqueue_unlimited(c, std::move(frame), urgency);
  worker.counters_.frames_queued.add();
  // A reader slower than its topics would cost everyone memory, so it goes; it can connect again.
  if (c.output_bytes() > queue_bytes_max(c)) {
    slow_consumer(c, worker.counters_.slow_consumers_queue);
  } else if (all_queue_bytes > worker.config_.all_send_queues_bytes_max) {
    relieve_queues();
  }
}

// Whoever holds most goes first. Room is made for a while, so that not every frame of a flood looks through all
// connections.
void Worker::Impl::relieve_queues() {
  struct Holder {
    std::size_t bytes;
    Connection* connection;
  };
  std::vector<Holder> holders;
  for (const Slot& slot : slots) {
    Connection* c = slot.connection.get();
    const bool may_go = c != nullptr && (c->phase == Phase::kWebSocket || c->phase == Phase::kHttp);
    if (may_go && c->has_output()) holders.push_back({c->output_bytes(), c});
  }
  std::ranges::make_heap(holders, {}, &Holder::bytes);
  const std::size_t goal = worker.config_.all_send_queues_bytes_max / 16 * 15;
  while (all_queue_bytes > goal && !holders.empty()) {
    std::ranges::pop_heap(holders, {}, &Holder::bytes);
    Connection& c = *holders.back().connection;
    holders.pop_back();
    if (c.phase == Phase::kWebSocket && !c.queue.empty()) {
      slow_consumer(c, worker.counters_.slow_consumers_worker_cap);
    } else {
      worker.counters_.slow_consumers_worker_cap.add();
      abort(c);
    }
  }
}

// The frame that is on the wire is finished, the rest is thrown away.
void Worker::Impl::slow_consumer(Connection& c, Counter& cause) {
  cause.add();
  const std::size_t before = c.queue.bytes();
  worker.counters_.frames_dropped.add(c.queue.discard_unsent());
  all_queue_bytes -= before - c.queue.bytes();
  close(c, static_cast<std::uint16_t>(ws::CloseCode::kTryAgainLater));
}

void Worker::Impl::close(Connection& c, std::optional<std::uint16_t> code) {
  RT_CHECK(c.phase == Phase::kWebSocket);
  enqueue_unlimited(c, FrameRef(ws::make_close_frame(code)));
  c.phase = Phase::kClosing;
  report_ended(c);
  c.deadline.set(worker.wheel_, worker.now_ + kCloseTimeout);
  // A paused client is not heard, so its close frame would never be seen.
  if (std::exchange(c.paused, false)) go_on(c);
}

void Worker::Impl::flush() {
  if (!dirty.empty()) {
    sending.clear();
    sending.swap(dirty);  // and its capacity serves the next turn
    for (Connection* c : sending) c->dirty = Dirty::kNo;
    std::erase_if(sending, [](const Connection* c) { return c->phase == Phase::kGone; });
    flush_all(sending);
  }
  flush_bulk();
}

void Worker::Impl::flush_bulk() {
  if (bulk.empty()) return;
  touch();
  const Time end = worker.now_ + kBulkTimePerTurn;
  for (std::size_t groups = 0; groups < kBulkGroupsPerTurn && !bulk.empty() && worker.now_ < end; ++groups) {
    sending.clear();
    take_group(bulk.front());
    BulkGroup group = std::move(bulk.front());
    bulk.pop_front();
    if (group.at < group.connections.size()) {
      if (group.at > group.connections.size() / 2) group.forget_served();
      bulk.push_back(std::move(group));
    }
    flush_all(sending);
    touch();
  }
}

void Worker::Impl::take_group(BulkGroup& group) {
  std::size_t bytes = 0;
  while (sending.size() < kBulkSendsPerGroup && bytes < kBulkBytesPerGroup && group.at < group.connections.size()) {
    Connection& c = *group.connections[group.at++];
    c.in_bulk = false;
    if (c.dirty != Dirty::kBulk) continue;  // it went out with something urgent
    c.dirty = Dirty::kNo;
    if (c.phase == Phase::kGone) continue;
    sending.push_back(&c);
    bytes += std::min(c.queue.bytes(), kBytesPerSend);
  }
}

void Worker::Impl::flush_all(std::vector<Connection*>& connections) {
  for (std::size_t at = 0; at < connections.size(); at += kConnectionsPerBatch) {
    flush_some(std::span(connections).subspan(at, std::min(kConnectionsPerBatch, connections.size() - at)));
  }
}

void Worker::Impl::flush_some(std::span<Connection* const> connections) {
  pieces.clear();
  outgoing.clear();
  joined.clear();
  pieces.reserve(connections.size() * kShareOfSend.frames);  // messages point into it
  std::size_t offered[kConnectionsPerBatch];
  for (std::size_t i = 0; i < connections.size(); ++i) {
    Connection& c = *connections[i];
    const std::size_t first = pieces.size();
    Outgoing& out = outgoing.emplace_back();
    offered[i] = c.tls ? gather_for_tls(c, out.message) : c.queue.gather(pieces, kShareOfSend, joined);
    out.fd = c.fd();
    out.message.msg_iov = pieces.data() + first;
    out.message.msg_iovlen = pieces.size() - first;
  }
  batch->send(outgoing);
  worker.counters_.flushes.add();
  worker.counters_.sends.add(outgoing.size());
  for (std::size_t i = 0; i < connections.size(); ++i) {
    if (connections[i]->phase != Phase::kGone) on_sent(*connections[i], outgoing[i].result, offered[i]);
  }
}

void Worker::Impl::on_sent(Connection& c, ssize_t result, std::size_t offered) {
  if (result < 0 && result != -EAGAIN) return drop(c);
  if (result < 0) worker.counters_.sends_blocked.add();
  const std::size_t taken = result > 0 ? static_cast<std::size_t>(result) : 0;
  if (taken > 0) {
    if (c.tls && !c.tls->unsent().empty()) {
      c.tls->sent(taken);
    } else {
      c.queue.consume(taken);
      count_bytes(c, &Traffic::out, taken);
    }
    all_queue_bytes -= taken;
    c.blocked_since.reset();
    if (c.held_back && c.output_bytes() <= kUnreadResponseBytesMax / 2) {
      c.held_back = false;
      if (!c.postponed) postpone(c);
    }
  }
  if (!c.has_output()) {
    if (c.linger_after_flush && c.phase != Phase::kLingering) linger(c);
    return;
  }
  if (taken == offered) return mark_dirty(c, Urgency::kBulk);  // there was more than one send offers
  if (!c.blocked_since) {
    c.blocked_since = worker.now_;
    const Time due = worker.now_ + worker.config_.send_blocked_timeout;
    if (!c.deadline.is_set() || c.deadline.at() > due) c.deadline.set(worker.wheel_, due);
  }
  arm_write(c);
}

void Worker::Impl::arm_write(Connection& c) {
  if (c.write_armed) return;
  c.write_armed = true;
  c.descriptor.async_wait(boost::asio::posix::descriptor_base::wait_write, OnWritable{this, c.id});
}

void Worker::Impl::on_writable(ConnectionId id, bool failed) {
  Connection* c = find(id);
  if (c == nullptr || c->phase == Phase::kGone) return;
  c->write_armed = false;
  touch();
  if (failed) return drop(*c);
  if (c->has_output()) mark_dirty(*c, Urgency::kBulk);
}

// Closing a socket with unread input would reset the connection and may take our last bytes from the client. So we end
// our side and read on, for a moment, until the client has ended its own.
void Worker::Impl::linger(Connection& c) {
  if (c.phase == Phase::kGone || c.phase == Phase::kLingering || c.is_answering() || say_the_end(c)) return;
  // What waits in the kernel's TLS would be lost; to the client its close_notify says as much as the end of TCP.
  const bool kernel_writes = c.tls && c.tls->kernel_writes();
  if (!kernel_writes && shutdown(c.fd(), SHUT_WR) != 0) return drop(c);
  begin_lingering(c, kLingerTimeout);
  if (!c.consuming) arm_read(c);
}

void Worker::Impl::begin_lingering(Connection& c, std::chrono::milliseconds time) {
  c.phase = Phase::kLingering;
  c.paused = false;
  c.unread.reset();
  c.deadline.set(worker.wheel_, worker.now_ + time);
}

// Of a connection with nothing to send, as drop(); TCP then sends what it holds. The kernel's TLS does not, so where it
// encrypts, that is waited for. Nothing tells us when it is so.
void Worker::Impl::part(Connection& c) {
  if (!c.tls || !c.tls->kernel_writes() || !holds_much_output(c.fd())) return drop(c);
  report_ended(c);
  if (c.is_answering()) worker.requests_.on_answered(worker, c.id, std::nullopt);
  if (!c.blocked_since) c.blocked_since = worker.now_;
  begin_lingering(c, kLookAgainAfter);
}

}  // namespace rt::net
