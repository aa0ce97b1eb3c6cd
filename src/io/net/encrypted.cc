// What TLS puts between the socket and the rest: input is decrypted when it is read, output is encrypted when it is
// sent, by us or by the kernel (kernel_tls.h).

#include <sys/socket.h>

#include <string>
#include <utility>

#include "io/net/worker_impl.h"

namespace rt::net {
namespace {

// A client that does not take what its own messages of TLS make us say is not heard any more.
constexpr std::size_t kUnsentBytesMax = 2 * Worker::kBytesPerSend;

// What one send may have of it. The kernel makes a record of an alert, and has to be told of what kind.
iovec unsent_piece(const TlsSession& tls, msghdr& message) {
  std::string_view unsent = tls.unsent();
  if (tls.kernel_writes()) {
    unsent = unsent.substr(0, kAlertBytes);
    mark_as_alert(message);
  }
  return {const_cast<char*>(unsent.data()), unsent.size()};
}

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
  c.input_ended = c.input_ended || peer == TlsSession::Peer::kHasEnded;
  if (peer == TlsSession::Peer::kAsksForKeys) return part_for_new_keys(c, std::span(plain_scratch).first(bytes));
  take_in(c, std::span(plain_scratch).first(bytes));
}

// What it has asked for is answered first. It gets new keys by connecting again.
void Worker::Impl::part_for_new_keys(Connection& c, std::span<char> in) {
  worker.counters_.tls_kernel_rekeys.add();
  take_in(c, in);
  if (c.phase == Phase::kWebSocket) return close(c, static_cast<std::uint16_t>(ws::CloseCode::kServiceRestart));
  if (c.phase != Phase::kHttp) return;
  c.input_ended = true;
  if (c.is_answering() || c.unread) return;
  c.linger_after_flush = true;
  if (!c.has_output()) linger(c);
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
  if (!c.write_armed && !alert.empty()) {
    msghdr message{};
    iovec piece = unsent_piece(*c.tls, message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    sendmsg(c.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  drop(c);
}

void Worker::Impl::hand_over_writing(Connection& c) {
  const auto keys = c.tls->take_keys();
  if (!keys) return;
  if (!keys->hand_over(c.fd())) return worker.counters_.tls_kernel_refusals.add();
  c.tls->leave_writing_to_kernel();
  worker.counters_.tls_kernel_writers.add();
}

// The share of a send. Encrypted now, what the kernel does not take of it goes first next time.
std::size_t Worker::Impl::gather_for_tls(Connection& c, msghdr& message) {
  hand_over_writing(c);
  if (c.tls->kernel_writes() && c.tls->unsent().empty()) return c.queue.gather(pieces, kShareOfSend, joined);
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
  pieces.push_back(unsent_piece(*c.tls, message));
  return pieces.back().iov_len;
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
