// How other threads reach a worker: by mail, in order, without a lock.
//
// Senders push onto a linked stack with one compare-and-swap; the receiver takes the whole stack at once and turns it
// round, so the mails of one sender arrive in the order they were sent. Only the sender that finds the box empty has to
// wake the receiver. The box is bounded in bytes by its senders: one that finds it above the high-water mark stops
// reading its sockets until the receiver has come to a mail put behind what was there (Worker::post_to), so nothing is
// ever dropped here.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace rt::net {

class Mail {
 public:
  virtual ~Mail() = default;
  // On the receiver's thread.
  virtual void deliver() = 0;

 private:
  friend class Mailbox;
  Mail* next_ = nullptr;
  std::size_t bytes_ = 0;
};

class Mailbox {
 public:
  static constexpr std::size_t kHighWaterBytes = 16 * 1024 * 1024;

  Mailbox() = default;
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // From any thread. True: the receiver has to be woken. `bytes` is what the mail keeps in memory.
  bool push(std::unique_ptr<Mail> mail, std::size_t bytes);
  std::size_t bytes() const { return bytes_.load(); }

  // By the receiver: the oldest mail, or null when there is none. After null a push asks for a wake-up again.
  std::unique_ptr<Mail> pop();

 private:
  std::atomic<Mail*> newest_{nullptr};
  std::atomic<std::size_t> bytes_{0};
  Mail* oldest_ = nullptr;  // taken from the stack and turned round; the receiver's own
};

}  // namespace rt::net
