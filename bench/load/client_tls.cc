#include "load/client_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>

namespace rt::load {
namespace {

SSL_CTX* context() {
  static SSL_CTX* const kContext = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return made;
  }();
  return kContext;
}

}  // namespace

ClientTls::ClientTls(int fd) : ssl_(SSL_new(context())) {
  SSL_set_fd(ssl_, fd);
  SSL_set_connect_state(ssl_);
}

ClientTls::~ClientTls() { SSL_free(ssl_); }

ssize_t ClientTls::receive(std::span<char> buffer) {
  ERR_clear_error();
  std::size_t bytes = 0;
  const int result = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &bytes);
  return result_of(result, bytes);
}

ssize_t ClientTls::send(std::string_view bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &written);
  return result_of(result, written);
}

ssize_t ClientTls::result_of(int result, std::size_t bytes) {
  if (result == 1) return static_cast<ssize_t>(bytes);
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      errno = EAGAIN;
      return -1;
    case SSL_ERROR_ZERO_RETURN:
      return 0;
    default:
      if (errno == 0 || errno == EAGAIN) errno = EPROTO;
      return -1;
  }
}

}  // namespace rt::load
