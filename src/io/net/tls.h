// TLS of one connection, as bytes: what the client sent goes in and what it meant comes out, and the other way round.
//
// It has no socket, so input keeps coming through the worker's reads and output leaves with everybody's in the send
// batch. At rest a session holds OpenSSL's state and no buffer of a record. Where the kernel knows TLS, it may take
// over what is sent (kernel_tls.h); the session then only reads.
//
// TLS 1.2 (RFC 5246) and 1.3 (RFC 8446); no renegotiation, no compression, no early data. ALPN (RFC 7301): http/1.1.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "io/net/kernel_tls.h"

struct ssl_st;      // OpenSSL's SSL
struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace rt::net {

struct TlsFiles {
  std::string certificate;  // PEM: the server's certificate, then those that lead to its root
  std::string key;          // PEM, not encrypted
};

// The certificate and key that new connections are greeted with. Immutable, thread-safe.
class TlsIdentity {
 public:
  // The error names the file and what to do about it; it never holds anything of the key.
  // Connections may hand over to the kernel what `kernel` encrypts.
  static Result<std::shared_ptr<const TlsIdentity>> load(const TlsFiles& files, KernelTls kernel = {});
  ~TlsIdentity();
  TlsIdentity(const TlsIdentity&) = delete;
  TlsIdentity& operator=(const TlsIdentity&) = delete;

  std::int64_t expires_at() const { return expires_at_; }  // in Unix seconds

 private:
  friend class TlsSession;
  TlsIdentity(ssl_ctx_st* context, KernelTls kernel) : context_(context), kernel_(kernel) {}

  ssl_ctx_st* context_;
  const KernelTls kernel_;
  std::int64_t expires_at_ = 0;
};

// One connection's end of it; on one thread.
class TlsSession {
 public:
  // What an unfinished handshake holds, about.
  static constexpr std::size_t kHandshakeStateBytes = 24 * 1024;
  // More than a record that came in pieces may hold back (RFC 8446 5.2), with room to spare.
  static constexpr std::size_t kHeldBackBytesMax = 18 * 1024;
  // A client may not send more before the handshake is done.
  static constexpr std::size_t kHandshakeBytesMax = 32 * 1024;
  // New keys, or negotiations anew, that a client may ask for, each of which costs us more than it: so many, and one
  // for each so many bytes.
  static constexpr std::uint64_t kDemandsMax = 32;
  static constexpr std::uint64_t kBytesPerDemand = 1024 * 1024;

  // The identity may go afterwards.
  explicit TlsSession(const TlsIdentity& identity);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  enum class Peer : std::uint8_t {
    kGoesOn,
    kHasEnded,     // it said that nothing more comes
    kHasFailed,    // what it sent is no TLS that we speak; the alert for it is in unsent()
    kSpeaksPlain,  // its first bytes are a plain HTTP request
    kAsksForKeys,  // the kernel encrypts and knows no way to new keys. Told once; it is heard on, but the sooner it
                   // goes the better (RFC 8446 4.6.3)
  };
  struct Heard {
    Peer peer;
    std::size_t bytes;  // how much it meant
  };
  // Takes all of `in`. `out` needs room for as much and kHeldBackBytesMax.
  Heard hear(std::span<const char> in, std::span<char> out);

  // The handshake is done; nothing may be said before.
  bool is_established() const { return established_; }
  // Why it has failed, for people who look after the server.
  std::string_view fault() const { return fault_; }
  // Input of the handshake that waits for its turn, because answering it takes long.
  std::string waiting;

  // Adds what the pieces say to unsent(). False: the session is broken.
  [[nodiscard]] bool say(std::span<const iovec> pieces);
  // Adds that nothing more comes.
  void end();
  bool has_ended() const { return has_ended_; }

  // The keys for what is said from here on, if the kernel encrypts their kind and this is the time: the handshake is
  // done and unsent() is empty. Null: not yet, or never; who has got them once, gets them no more.
  std::unique_ptr<const TlsWriteKeys> take_keys();
  // The kernel has those keys. Nothing more can be said; what is unsent() are alerts, kAlertBytes each, that have to go
  // out as such, each by itself.
  void leave_writing_to_kernel();
  bool kernel_writes() const { return kernel_writes_; }

  // What it holds of input that is not complete, about.
  std::size_t bytes_held() const;

  // Bytes for the client. Valid until something is heard or said.
  std::string_view unsent() const { return std::string_view(unsent_).substr(sent_); }
  void sent(std::size_t bytes);

 private:
  friend struct TlsIo;
  void break_off(std::string why);
  bool asks_for_keys_in_vain();

  ssl_st* ssl_;
  std::string_view in_;  // during hear()
  std::uint64_t heard_ = 0;
  std::uint64_t demands_ = 0;
  std::string unsent_;
  std::size_t sent_ = 0;
  std::string fault_;
  // OpenSSL takes up the handshake again for each message of its protocol, so it does not know.
  bool established_ = false;
  bool has_ended_ = false;
  bool has_failed_ = false;
  bool kernel_writes_ = false;
  bool told_of_keys_ = false;  // kAsksForKeys
  const KernelTls kernel_;
  std::unique_ptr<TlsWriteKeys> write_keys_;  // until they are taken
};

}  // namespace rt::net
