#include "io/net/uring_batch.h"

#include <liburing.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace rt::net {
namespace {

constexpr unsigned kEntries = 256;
constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;

class UringBatch final : public SendBatch {
 public:
  UringBatch() = default;
  ~UringBatch() override {
    if (is_open_) io_uring_queue_exit(&ring_);
  }
  UringBatch(const UringBatch&) = delete;
  UringBatch& operator=(const UringBatch&) = delete;

  Result<void> open() {
    // A ring of one thread that is woken by nobody is cheapest (Linux 6.1); the thread is known at the first send.
    for (const unsigned flags :
         {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED,
          IORING_SETUP_SUBMIT_ALL | IORING_SETUP_R_DISABLED}) {
      const int result = io_uring_queue_init(kEntries, &ring_, flags);
      if (result == 0) {
        is_open_ = true;
        return {};
      }
      if (result != -EINVAL) return fail(std::string("io_uring_setup: ") + std::strerror(-result));
    }
    return fail("io_uring_setup: the kernel is older than 5.18");
  }

  std::string_view name() const override { return "io_uring"; }

  void send(std::span<Outgoing> outgoing) override {
    if (!is_enabled_) enable();
    while (!outgoing.empty()) {
      const auto some = outgoing.first(std::min<std::size_t>(outgoing.size(), kEntries));
      send_some(some);
      outgoing = outgoing.subspan(some.size());
    }
  }

 private:
  void enable() {
    // Debian 12's liburing declares io_uring_enable_rings() and does not export it.
    RT_CHECK(syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) == 0);
    io_uring_register_ring_fd(&ring_);  // spares a look-up of the ring; where it fails, it is looked up
    is_enabled_ = true;
  }

  void send_some(std::span<Outgoing> outgoing) {
    for (std::size_t i = 0; i < outgoing.size(); ++i) {
      io_uring_sqe* request = io_uring_get_sqe(&ring_);
      RT_CHECK(request != nullptr);
      const msghdr& message = outgoing[i].message;
      if (message.msg_iovlen == 1 && message.msg_control == nullptr) {  // spares copying and checking a msghdr
        io_uring_prep_send(request, outgoing[i].fd, message.msg_iov[0].iov_base, message.msg_iov[0].iov_len, kFlags);
      } else {
        io_uring_prep_sendmsg(request, outgoing[i].fd, &message, kFlags);
      }
      io_uring_sqe_set_data64(request, i);
    }
    std::size_t missing = outgoing.size();
    while (missing > 0) {
      const int result = io_uring_submit_and_wait(&ring_, static_cast<unsigned>(missing));
      // Short of memory; what was not submitted is tried again.
      if (result == -EAGAIN || result == -EBUSY) sched_yield();
      RT_CHECK(result >= 0 || result == -EAGAIN || result == -EBUSY || result == -EINTR);
      missing -= reap(outgoing);
    }
  }

  std::size_t reap(std::span<Outgoing> outgoing) {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      const int result = completion->res;
      outgoing[completion->user_data].result = result == -EINTR ? -EAGAIN : result;
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
    return count;
  }

  io_uring ring_{};
  bool is_open_ = false;
  bool is_enabled_ = false;
};

// That a ring can be made does not say that it may send: seccomp and io_uring's own restrictions come later.
Result<void> try_it() {
  UringBatch batch;
  if (const auto ok = batch.open(); !ok) return ok;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return fail(std::string("socketpair: ") + std::strerror(errno));
  char byte = 'x';
  iovec piece{&byte, 1};
  Outgoing one{.fd = pair[0]};
  one.message.msg_iov = &piece;
  one.message.msg_iovlen = 1;
  batch.send({&one, 1});
  close(pair[0]);
  close(pair[1]);
  if (one.result != 1) return fail(std::string("sending by io_uring: ") + std::strerror(static_cast<int>(-one.result)));
  return {};
}

}  // namespace

Result<std::unique_ptr<SendBatch>> make_uring_batch() {
  if (const auto ok = try_it(); !ok) return tl::make_unexpected(ok.error());
  auto batch = std::make_unique<UringBatch>();
  if (const auto ok = batch->open(); !ok) return tl::make_unexpected(ok.error());
  return batch;
}

}  // namespace rt::net
