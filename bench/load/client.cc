#include "load/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <optional>

#include "load/client_frame.h"

namespace rt::load {
namespace {

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string close_reason(std::string_view payload) {
  if (payload.size() < 2) return "a close frame without code";
  const int code = static_cast<std::uint8_t>(payload[0]) << 8 | static_cast<std::uint8_t>(payload[1]);
  return "close code " + std::to_string(code);
}

Result<int> connecting_socket(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(std::string("cannot open a socket: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const linger abort{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 || errno == EINPROGRESS) return fd;
  const std::string why = std::strerror(errno);
  ::close(fd);
  return fail("cannot connect to port " + std::to_string(port) + ": " + why);
}

}  // namespace

void ClientEvents::on_closed(Client& client, std::string_view why) {
  client.loop().fail_with("client " + std::to_string(client.id()) + " lost its connection: " + std::string(why));
}

Result<std::unique_ptr<Client>> Client::connect(ClientLoop& loop, std::uint16_t port, std::string_view handshake,
                                                std::size_t id, ClientEvents& events, Wire wire) {
  const auto fd = connecting_socket(port);
  if (!fd) return tl::make_unexpected(fd.error());
  std::unique_ptr<Client> client(new Client(loop, *fd, handshake, id, events, wire));
  loop.watch(*client, ClientLoop::Interest::kReadAndWrite);
  return client;
}

Client::Client(ClientLoop& loop, int fd, std::string_view handshake, std::size_t id, ClientEvents& events, Wire wire)
    : loop_(loop), events_(&events), handshake_(handshake), id_(id), fd_(fd), wire_(wire) {}

Client::~Client() { close(); }

void Client::send_text(std::string_view message) {
  std::string frame;
  append_client_frame(frame, ws::Opcode::kText, message);
  send_bytes(frame);
}

void Client::send_bytes(std::string_view bytes) {
  if (state_ == State::kClosed) return;
  const bool was_waiting = !unsent_.empty();
  unsent_ += bytes;
  if (!was_waiting) flush();
}

void Client::flush() {
  const ssize_t sent = tls_ ? tls_->send(unsent_) : ::send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return lose(std::string("send: ") + std::strerror(errno));
  unsent_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
  if (!unsent_.empty() && !tls_) loop_.change(*this, ClientLoop::Interest::kReadAndWrite);
}

void Client::stop_reading() { loop_.change(*this, ClientLoop::Interest::kNothing); }

void Client::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  ::close(fd_);  // leaves the epoll set by itself
}

void Client::lose(std::string_view why) {
  close();
  events_->on_closed(*this, why);
}

void Client::on_writable() {
  if (state_ == State::kClosed) return;
  loop_.change(*this, ClientLoop::Interest::kRead);
  if (state_ == State::kConnecting) return on_connected();
  flush();
}

void Client::on_connected() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return lose(std::string("connect: ") + std::strerror(error));
  if (wire_ == Wire::kTls) tls_ = std::make_unique<ClientTls>(fd_);
  if (!handshake_.empty()) {
    state_ = State::kShakingHands;
    return send_bytes(handshake_);
  }
  state_ = State::kOpen;
  events_->on_open(*this);
}

Result<void> Client::stamp_arrivals() {
  const int on = 1;
  if (setsockopt(fd_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) != 0)
    return fail(std::string("cannot stamp arrivals: ") + std::strerror(errno));
  stamps_arrivals_ = true;
  return {};
}

// As recv().
ssize_t Client::receive(std::span<char> buffer, ReceivedAt& at) {
  iovec piece{.iov_base = buffer.data(), .iov_len = buffer.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(timespec))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t count = tls_               ? tls_->receive(buffer)
                        : stamps_arrivals_ ? recvmsg(fd_, &message, 0)
                                           : recv(fd_, buffer.data(), buffer.size(), 0);
  at.received = std::chrono::steady_clock::now();
  at.arrived = std::chrono::system_clock::now();  // the kernel begins to stamp a moment after it was asked to
  if (count <= 0 || !stamps_arrivals_) return count;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec stamp;
    std::memcpy(&stamp, CMSG_DATA(part), sizeof(stamp));
    at.arrived = std::chrono::system_clock::time_point(std::chrono::seconds(stamp.tv_sec) +
                                                       std::chrono::nanoseconds(stamp.tv_nsec));
  }
  return count;
}

void Client::on_readable(std::span<char> buffer) {
  if (state_ == State::kClosed) return;
  ReceivedAt at;
  const ssize_t count = receive(buffer, at);
  const int error = errno;
  // What it had to say may have waited for the server's part of the handshake.
  if (tls_ && !unsent_.empty()) flush();
  if (state_ == State::kClosed) return;
  if (count < 0 && error == EAGAIN) return;
  if (count < 0) return lose(std::string("recv: ") + std::strerror(error));
  if (count == 0) return lose("the server ended it");

  std::string_view in(buffer.data(), static_cast<std::size_t>(count));
  const bool continues = !held_.empty();
  if (continues) in = held_.append(in);
  if (state_ == State::kShakingHands && !take_answer(in)) {
    held_ = std::string(in);
    return;
  }
  while (state_ == State::kOpen && take_frame(in, at)) {
  }
  if (continues) {
    held_.erase(0, held_.size() - in.size());
  } else {
    held_.assign(in);
  }
}

bool Client::take_answer(std::string_view& in) {
  const std::size_t end = in.find("\r\n\r\n");
  if (end == std::string_view::npos) return false;
  if (!in.starts_with("HTTP/1.1 101 ")) {
    lose("the handshake was refused: " + std::string(in.substr(0, in.find('\r'))));
    return true;
  }
  has_deflate_ =
      lower_case(in.substr(0, end)).find("\r\nsec-websocket-extensions: permessage-deflate") != std::string::npos;
  in.remove_prefix(end + 4);
  state_ = State::kOpen;
  events_->on_open(*this);
  return true;
}

bool Client::take_frame(std::string_view& in, const ReceivedAt& at) {
  const auto header = parse_server_header(in);
  if (!header || in.size() < header->frame_bytes()) return false;
  const std::string_view wire = in.substr(0, header->frame_bytes());
  in.remove_prefix(wire.size());
  if (header->opcode == ws::Opcode::kClose) {
    lose(close_reason(wire.substr(header->header_bytes)));
    return true;
  }
  const std::string_view payload = wire.substr(header->header_bytes);
  const bool is_fragment = !header->fin || header->opcode == ws::Opcode::kContinuation;
  if (is_fragment) fragments_ += payload;
  if (!header->fin) return true;
  const std::string whole = is_fragment ? std::exchange(fragments_, {}) : std::string();
  events_->on_frame(*this, {.opcode = is_fragment ? ws::Opcode::kText : header->opcode,
                            .compressed = header->compressed,
                            .payload = is_fragment ? std::string_view(whole) : payload,
                            .wire = is_fragment ? std::string_view(whole) : wire,
                            .received = at.received,
                            .arrived = at.arrived});
  return true;
}

}  // namespace rt::load
