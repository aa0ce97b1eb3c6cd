#include "io/net/mailbox.h"

namespace rt::net {

Mailbox::~Mailbox() {
  while (pop()) {
  }
}

bool Mailbox::push(std::unique_ptr<Mail> mail, std::size_t bytes) {
  Mail* const added = mail.release();
  added->bytes_ = bytes;
  bytes_.fetch_add(bytes);
  Mail* newest = newest_.load(std::memory_order_relaxed);
  do {
    added->next_ = newest;
  } while (!newest_.compare_exchange_weak(newest, added));
  return newest == nullptr;
}

std::unique_ptr<Mail> Mailbox::pop() {
  if (oldest_ == nullptr) {
    Mail* newest = newest_.exchange(nullptr);
    while (newest != nullptr) {
      Mail* const older = newest->next_;
      newest->next_ = oldest_;
      oldest_ = newest;
      newest = older;
    }
    if (oldest_ == nullptr) return nullptr;
  }
  std::unique_ptr<Mail> mail(oldest_);
  oldest_ = oldest_->next_;
  bytes_.fetch_sub(mail->bytes_);
  return mail;
}

}  // namespace rt::net
