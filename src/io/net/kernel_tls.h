// Kernel TLS: the kernel encrypts what a TLS connection sends, so that its output goes out as plain output does.
//
// The handshake stays OpenSSL's, and so does reading. Only the keys of our direction are handed over, once, when
// nothing of a record waits to be sent. From then on OpenSSL must not write, for two records under one number would
// give the keys away.
//
// What the kernel has taken is encrypted and yet perhaps not TCP's: up to a record waits in between where the client is
// slow. shutdown(2) loses that, and so does close(2) where TCP has no room left.
//
// https://docs.kernel.org/networking/tls.html
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

struct msghdr;
struct tls_crypto_info;  // linux/tls.h

namespace rt::net {

// Which pairs of a version and a cipher the kernel encrypts. Nothing unless it was asked.
class KernelTls {
 public:
  KernelTls() = default;
  // Sends a record of each kind from this process to itself. The error says what is missing and how to get it.
  static Result<KernelTls> probe();
  // As if the kernel encrypted them all, for tests of what comes before it.
  static KernelTls all();

  bool takes_any() const { return kinds_ != 0; }
  bool takes(const tls_crypto_info& keys) const;

 private:
  std::uint8_t kinds_ = 0;  // bits, in the order of the versions and ciphers in kernel_tls.cc
};

// The keys for what one connection sends, and the number of the next record. Wiped when they go.
class TlsWriteKeys {
 public:
  static constexpr std::size_t kBytesMax = 56;

  // `keys` are of a kind that KernelTls knows.
  explicit TlsWriteKeys(const tls_crypto_info& keys);
  ~TlsWriteKeys();
  TlsWriteKeys(const TlsWriteKeys&) = delete;
  TlsWriteKeys& operator=(const TlsWriteKeys&) = delete;

  // A record was written with them elsewhere.
  void skip_record();
  // What is sent to the socket from now on is encrypted with them. An error leaves it as it was.
  Result<void> hand_over(int fd) const;
  // The struct that the kernel takes.
  std::span<const std::byte> bytes() const { return {bytes_.data(), size_}; }

 private:
  alignas(std::uint64_t) std::array<std::byte, kBytesMax> bytes_{};
  std::size_t size_ = 0;
};

inline constexpr std::size_t kAlertBytes = 2;  // RFC 8446 6: a level and a description

// The message, of kAlertBytes, goes out as an alert instead of data.
void mark_as_alert(msghdr& message);

// TCP still holds so much that the kernel's TLS may wait for it.
bool holds_much_output(int fd);

}  // namespace rt::net
