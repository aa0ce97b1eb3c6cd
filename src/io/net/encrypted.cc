// What TLS puts between the socket and the rest: input is decrypted when it is read, output is encrypted when it is
// sent.

#include <sys/socket.h>

#include <string>
#include <utility>

#include "io/net/worker_impl.h"

namespace rt::net {
namespace {

// A client that does not take what its own messages of TLS make us say is not heard any more.
constexpr std::size_t kUnsentBytesMax = 2 * Worker::kBytesPerSend;

}  // namespace

// A signature takes longer than most turns, so handshakes wait until all who want little had their turn.
void Worker::Impl::read_encrypted(Connection& c, std::span<const char> in) {
  if (c.tls->is_established()) return decrypt(c, in);
  c.tls->waiting.append(in.data(), in.size());
  account_held(c);
  if (c.phase != Phase::kGone && !c.postponed) postpone(c);
}

void Worker::Impl::go_on_with_handshake(Connection& c) {
  const std::string waiting = std::exchange(c.tls->waiting, {});
  if (c.phase != Phase::kGone) decrypt(c, waiting);
}

void Worker::Impl::decrypt(Connection& c, std::span<const char> in) {
  if (plain_scratch.empty()) plain_scratch.resize(TlsSession::kHandshakeBytesMax + TlsSession::kHeldBackBytesMax);
  static_assert(kTlsReadBytesPerTurn <= TlsSession::kHandshakeBytesMax);
  const bool was_established = c.tls->is_established();
  const std::size_t unsent = c.tls->unsent().size();
  const auto [peer, bytes] = c.tls->hear(in, plain_scratch);
  all_queue_bytes += c.tls->unsent().size() - unsent;
  if (peer == TlsSession::Peer::kHasFailed || peer == TlsSession::Peer::kSpeaksPlain) {
    if (was_established) return break_encrypted(c);
    if (peer == TlsSession::Peer::kHasFailed) return fail_handshake(c, c.tls->fault());
    return answer_plain(c);
  }

  if (!was_established && c.tls->is_established()) worker.counters_.tls_handshakes.add();
  if (c.tls->unsent().size() > unsent && !c.write_armed) mark_dirty(c, Urgency::kThisTurn);
  if (c.tls->unsent().size() > kUnsentBytesMax) c.held_back = true;
  c.input_ended = peer == TlsSession::Peer::kHasEnded;
  take_in(c, std::span(plain_scratch).first(bytes));
}

void Worker::Impl::answer_plain(Connection& c) {
  worker.counters_.tls_failures.add();
  all_queue_bytes -= c.tls->unsent().size();
  c.tls.reset();
  refuse(c, {400, "this port speaks TLS: use https:// or wss://"});
  arm_read(c);
}

void Worker::Impl::fail_handshake(Connection& c, std::string_view reason) {
  worker.counters_.tls_failures.add();
  worker.requests_.on_refused(worker, c.http->peer, RequestHandler::Expected::kTlsHandshake,
                              {0, "a client did not complete the TLS handshake: " + std::string(reason)});
  end_encrypted(c);
}

void Worker::Impl::break_encrypted(Connection& c) {
  worker.counters_.tls_broken.add();
  end_encrypted(c);
}

void Worker::Impl::end_encrypted(Connection& c) {
  // The alert tells the client what was wrong; it is a few bytes, and where there is no room for them it is lost.
  const std::string_view alert = c.tls->unsent();
  if (!c.write_armed && !alert.empty()) ::send(c.fd(), alert.data(), alert.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  drop(c);
}

// The share of a send, encrypted now. What the kernel does not take of it, goes first next time.
std::size_t Worker::Impl::gather_encrypted(Connection& c) {
  if (c.tls->unsent().empty() && !c.queue.empty()) {
    const std::size_t first = pieces.size();
    const std::size_t bytes = c.queue.gather(pieces, kShareOfSend, joined);
    const bool ok = c.tls->say(std::span(pieces).subspan(first));
    pieces.resize(first);
    c.queue.consume(bytes);
    all_queue_bytes += c.tls->unsent().size();
    all_queue_bytes -= bytes;
    count_bytes(c, &Traffic::out, bytes);
    if (!ok) drop(c);
  }
  const std::string_view unsent = c.tls->unsent();
  pieces.push_back({const_cast<char*>(unsent.data()), unsent.size()});
  return unsent.size();
}

bool Worker::Impl::say_the_end(Connection& c) {
  if (!c.tls || c.tls->has_ended()) return false;
  const std::size_t unsent = c.tls->unsent().size();
  c.tls->end();
  all_queue_bytes += c.tls->unsent().size() - unsent;
  if (c.tls->unsent().empty()) return false;
  c.linger_after_flush = true;
  if (!c.write_armed) mark_dirty(c, Urgency::kThisTurn);
  return true;
}

}  // namespace rt::net
