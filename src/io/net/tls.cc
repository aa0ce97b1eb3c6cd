#include "io/net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/check.h"

namespace rt::net {

// What OpenSSL reads from and writes to: the session's own buffers.
struct TlsIo {
  static TlsSession& session(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* out, int room) {
    BIO_clear_retry_flags(bio);
    std::string_view& in = session(bio).in_;
    if (in.empty()) {
      BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t n = std::min(in.size(), static_cast<std::size_t>(std::max(room, 0)));
    std::memcpy(out, in.data(), n);
    in.remove_prefix(n);
    return static_cast<int>(n);
  }

  static int write(BIO* bio, const char* bytes, int count) {
    // A record that the kernel does not know of, under keys that it uses: on_message() has what it says.
    if (!session(bio).kernel_writes_) session(bio).unsent_.append(bytes, static_cast<std::size_t>(count));
    return count;
  }

  // OpenSSL's question to its own sockets whether the kernel takes these keys. It is told no, so it goes on with them
  // until we hand them over.
  static constexpr int kSetKernelTls = 72;  // BIO_CTRL_SET_KTLS of OpenSSL's internal headers, 3.0 and later

  static long control(BIO* bio, int command, long is_for_writing, void* keys) {
    if (command == kSetKernelTls && is_for_writing != 0) note_keys(session(bio), *static_cast<tls_crypto_info*>(keys));
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static void note_keys(TlsSession& session, const tls_crypto_info& keys) {
    session.write_keys_ = session.kernel_.takes(keys) ? std::make_unique<TlsWriteKeys>(keys) : nullptr;
  }

  // Called for every record, and for every message of the protocol itself.
  static void on_message(int is_write, int, int content_type, const void* bytes, std::size_t size, SSL*, void* self) {
    TlsSession& session = *static_cast<TlsSession*>(self);
    if (is_write != 0) return on_written(session, content_type, {static_cast<const char*>(bytes), size});
    if (content_type != SSL3_RT_HANDSHAKE || size == 0) return;
    const unsigned char type = *static_cast<const unsigned char*>(bytes);
    if (type == SSL3_MT_KEY_UPDATE || type == SSL3_MT_CLIENT_HELLO) ++session.demands_;
  }

  static void on_written(TlsSession& session, int content_type, std::string_view bytes) {
    if (content_type == SSL3_RT_HEADER && session.write_keys_) session.write_keys_->skip_record();
    // The keys that follow are not told of.
    if (content_type == SSL3_RT_HANDSHAKE && bytes.starts_with(SSL3_MT_KEY_UPDATE)) session.write_keys_.reset();
    if (content_type == SSL3_RT_ALERT && session.kernel_writes_) session.unsent_.append(bytes);
  }

  // For the life of the process.
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const kMethod = [] {
      BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "session");
      RT_CHECK(made != nullptr);
      BIO_meth_set_read(made, read);
      BIO_meth_set_write(made, write);
      BIO_meth_set_ctrl(made, control);
      return made;
    }();
    return kMethod;
  }
};

namespace {

// In words, of the error that OpenSSL met first; the others follow from it.
std::string first_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "OpenSSL gives no reason";
}

bool is_plain_http(unsigned long error) {
  return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST;
}

// Nobody is there to type it.
int no_passphrase(char*, int, int, void*) { return 0; }

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned int offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  constexpr unsigned int kSize = sizeof kHttp11 - 1;
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, kSize, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

void set_rules(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Sessions are resumed by tickets, which cost us no memory.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
}

std::int64_t expiry(SSL_CTX* context) {
  std::tm when{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context)), &when) != 1) return 0;
  return timegm(&when);
}

}  // namespace

Result<std::shared_ptr<const TlsIdentity>> TlsIdentity::load(const TlsFiles& files, KernelTls kernel) {
  ERR_clear_error();
  std::shared_ptr<TlsIdentity> identity(new TlsIdentity(SSL_CTX_new(TLS_server_method()), kernel));
  RT_CHECK(identity->context_ != nullptr);
  SSL_CTX* context = identity->context_;
  set_rules(context);
  if (kernel.takes_any()) SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return fail("cannot use " + files.certificate + " as the TLS certificate (" + first_error() +
                "): TLS_CERT_FILE has to be a readable PEM file with the server's certificate first, then those "
                "between it and its root");
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail("cannot use " + files.key + " as the TLS key (" + first_error() +
                "): TLS_KEY_FILE has to be a readable PEM file with the private key of the certificate in " +
                files.certificate + ", without a passphrase");
  }
  identity->expires_at_ = expiry(context);
  return identity;
}

TlsIdentity::~TlsIdentity() { SSL_CTX_free(context_); }

TlsSession::TlsSession(const TlsIdentity& identity) : ssl_(SSL_new(identity.context_)), kernel_(identity.kernel_) {
  RT_CHECK(ssl_ != nullptr);
  BIO* bio = BIO_new(TlsIo::method());
  RT_CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_accept_state(ssl_);
  SSL_set_msg_callback(ssl_, TlsIo::on_message);
  SSL_set_msg_callback_arg(ssl_, this);
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

TlsSession::Heard TlsSession::hear(std::span<const char> in, std::span<char> out) {
  heard_ += in.size();
  if (!has_failed_ && !is_established() && heard_ > kHandshakeBytesMax) break_off("it is too long");
  in_ = {in.data(), in.size()};
  std::size_t bytes = 0;
  while (!has_failed_) {
    ERR_clear_error();
    std::size_t some = 0;
    const int result = SSL_read_ex(ssl_, out.data() + bytes, out.size() - bytes, &some);
    established_ = established_ || SSL_is_init_finished(ssl_) == 1;
    if (result == 1) {
      bytes += some;
      continue;
    }
    const int error = SSL_get_error(ssl_, result);
    if (demands_ > kDemandsMax + heard_ / kBytesPerDemand) {
      break_off("the client asks for new keys or a new handshake too often");
      break;
    }
    if (error == SSL_ERROR_WANT_READ) return {asks_for_keys_in_vain() ? Peer::kAsksForKeys : Peer::kGoesOn, bytes};
    if (error == SSL_ERROR_ZERO_RETURN) return {Peer::kHasEnded, bytes};
    const bool is_plain = is_plain_http(ERR_peek_error());
    break_off(first_error());
    if (is_plain) return {Peer::kSpeaksPlain, 0};
  }
  return {Peer::kHasFailed, bytes};
}

void TlsSession::break_off(std::string why) {
  has_failed_ = true;
  fault_ = std::move(why);
}

// OpenSSL would send them before it says the next thing.
bool TlsSession::asks_for_keys_in_vain() {
  if (!kernel_writes_ || SSL_get_key_update_type(ssl_) == SSL_KEY_UPDATE_NONE) return false;
  return !std::exchange(told_of_keys_, true);
}

bool TlsSession::say(std::span<const iovec> pieces) {
  RT_CHECK(!kernel_writes_);
  for (const iovec& piece : pieces) {
    if (piece.iov_len == 0) continue;
    ERR_clear_error();
    std::size_t written = 0;
    if (has_failed_ || SSL_write_ex(ssl_, piece.iov_base, piece.iov_len, &written) != 1) return false;
  }
  return true;
}

std::unique_ptr<const TlsWriteKeys> TlsSession::take_keys() {
  const bool is_time = established_ && !has_failed_ && !has_ended_ && unsent().empty();
  // New keys are due before the next word; the kernel would go on with the old ones.
  if (!is_time || SSL_get_key_update_type(ssl_) != SSL_KEY_UPDATE_NONE) return nullptr;
  return std::move(write_keys_);
}

void TlsSession::leave_writing_to_kernel() {
  RT_CHECK(unsent().empty());
  kernel_writes_ = true;
}

std::size_t TlsSession::bytes_held() const {
  if (!is_established()) return waiting.capacity() + kHandshakeStateBytes;
  return SSL_has_pending(ssl_) == 1 ? kHeldBackBytesMax : 0;
}

void TlsSession::end() {
  has_ended_ = true;
  if (has_failed_ || !is_established()) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

void TlsSession::sent(std::size_t bytes) {
  sent_ += bytes;
  RT_DCHECK(sent_ <= unsent_.size());
  if (sent_ == unsent_.size()) {
    sent_ = 0;
    std::string().swap(unsent_);
  } else if (sent_ > unsent_.size() / 2) {
    unsent_.erase(0, std::exchange(sent_, 0));
  }
}

}  // namespace rt::net
