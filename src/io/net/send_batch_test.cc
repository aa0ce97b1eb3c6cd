#include "io/net/send_batch.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "io/net/uring_batch.h"

namespace rt::net {
namespace {

// A connected pair of TCP sockets on loopback.
struct Pair {
  Pair() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    theirs = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(listener >= 0);
    REQUIRE(theirs >= 0);
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener, 1) == 0);
    REQUIRE(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(connect(theirs, reinterpret_cast<sockaddr*>(&address), size) == 0);
    ours = accept(listener, nullptr, nullptr);
    REQUIRE(ours >= 0);
    close(listener);
  }
  ~Pair() {
    close(ours);
    if (theirs >= 0) close(theirs);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  std::string received(std::size_t bytes) const {
    std::string text(bytes, '\0');
    REQUIRE(recv(theirs, text.data(), bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes));
    return text;
  }

  int ours = -1;
  int theirs = -1;
};

// The ways of sending that this machine has.
std::vector<std::unique_ptr<SendBatch>> batches() {
  std::vector<std::unique_ptr<SendBatch>> out;
  out.push_back(std::make_unique<SendmsgBatch>());
  if (auto uring = make_uring_batch()) {
    out.push_back(std::move(*uring));
  } else {
    MESSAGE("io_uring is not tested, this machine does not allow it: " << uring.error().message);
  }
  return out;
}

Outgoing outgoing(int fd, std::span<iovec> pieces) {
  Outgoing out{.fd = fd};
  out.message.msg_iov = pieces.data();
  out.message.msg_iovlen = pieces.size();
  return out;
}

iovec piece(std::string& text) { return {text.data(), text.size()}; }

TEST_CASE("each connection of a batch gets its own bytes, in order, however many there are") {
  for (const auto& batch : batches()) {
    CAPTURE(batch->name());
    constexpr std::size_t kConnections = 300;  // more than a ring has entries
    const std::vector<Pair> pairs(kConnections);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < kConnections; ++i) texts.push_back("for " + std::to_string(i) + ";");
    std::string rest = "and this";
    std::vector<std::array<iovec, 2>> pieces;
    for (std::string& text : texts) pieces.push_back({piece(text), piece(rest)});
    for (int round = 0; round < 3; ++round) {
      std::vector<Outgoing> all;
      // One piece for every other connection, two for the rest.
      for (std::size_t i = 0; i < kConnections; ++i)
        all.push_back(outgoing(pairs[i].ours, {pieces[i].data(), 1 + i % 2}));
      batch->send(all);
      for (std::size_t i = 0; i < kConnections; ++i) {
        const std::string expected = texts[i] + (i % 2 == 1 ? rest : "");
        REQUIRE(all[i].result == static_cast<ssize_t>(expected.size()));
        CHECK(pairs[i].received(expected.size()) == expected);
      }
    }
  }
}

TEST_CASE("a control message goes with its message, also where that is one piece") {
  for (const auto& batch : batches()) {
    CAPTURE(batch->name());
    int fds[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    std::string text = "x";
    iovec text_piece = piece(text);
    // A descriptor is what every kernel can pass.
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    Outgoing out = outgoing(fds[0], {&text_piece, 1});
    out.message.msg_control = control.data();
    out.message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&out.message);
    header->cmsg_len = CMSG_LEN(sizeof(int));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    std::memcpy(CMSG_DATA(header), &fds[0], sizeof(int));
    batch->send({&out, 1});
    CHECK(out.result == 1);

    msghdr received = out.message;
    control.fill(0);
    CHECK(recvmsg(fds[1], &received, MSG_CMSG_CLOEXEC) == 1);
    header = CMSG_FIRSTHDR(&received);
    REQUIRE(header != nullptr);
    CHECK(header->cmsg_len == CMSG_LEN(sizeof(int)));
    int passed = -1;
    std::memcpy(&passed, CMSG_DATA(header), sizeof passed);
    CHECK(passed > fds[1]);
    for (const int fd : {fds[0], fds[1], passed}) close(fd);
  }
}

TEST_CASE("a connection that takes no more, or is gone, is told apart and holds up nobody") {
  for (const auto& batch : batches()) {
    CAPTURE(batch->name());
    const Pair good;
    const Pair full;
    Pair broken;
    std::string filler(1 << 20, 'x');
    iovec filler_piece = piece(filler);
    ssize_t last = 0;
    for (int i = 0; i < 1000 && last >= 0; ++i) {
      Outgoing one = outgoing(full.ours, {&filler_piece, 1});
      batch->send({&one, 1});
      last = one.result;
    }
    CHECK(last == -EAGAIN);

    // A reset: the peer closes with input that it has not read.
    REQUIRE(send(broken.ours, "x", 1, 0) == 1);
    const linger hard{.l_onoff = 1, .l_linger = 0};
    setsockopt(broken.theirs, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(std::exchange(broken.theirs, -1));

    std::string text = "still here";
    iovec text_piece = piece(text);
    std::vector<Outgoing> all = {outgoing(full.ours, {&text_piece, 1}), outgoing(broken.ours, {&text_piece, 1}),
                                 outgoing(good.ours, {&text_piece, 1})};
    batch->send(all);
    CHECK(all[0].result == -EAGAIN);
    CHECK((all[1].result == -ECONNRESET || all[1].result == -EPIPE));
    CHECK(all[2].result == static_cast<ssize_t>(text.size()));
    CHECK(good.received(text.size()) == text);
  }
}

}  // namespace
}  // namespace rt::net
