// The client's end of TLS on a non-blocking socket.
#pragma once

#include <sys/types.h>

#include <memory>
#include <span>
#include <string_view>

struct ssl_st;  // OpenSSL's SSL

namespace rt::load {

enum class Wire : std::uint8_t { kPlain, kTls };

class ClientTls {
 public:
  // Trusts everybody. The socket is connected and outlives it.
  explicit ClientTls(int fd);
  ~ClientTls();
  ClientTls(const ClientTls&) = delete;
  ClientTls& operator=(const ClientTls&) = delete;

  // Both as recv() and send(), errno included; EAGAIN also while the handshake goes on. What was tried to be written
  // has to be tried again with the same beginning.
  ssize_t receive(std::span<char> buffer);
  ssize_t send(std::string_view bytes);

 private:
  ssize_t result_of(int result, std::size_t bytes);

  ssl_st* ssl_;
};

}  // namespace rt::load
