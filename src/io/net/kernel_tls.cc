#include "io/net/kernel_tls.h"

#include <linux/sockios.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace rt::net {
namespace {

// For our own record to come back; it takes microseconds.
constexpr timeval kProbeTimeout{.tv_sec = 1, .tv_usec = 0};
// Far less than a send buffer holds, which then has room for a record.
constexpr int kMuchOutputBytes = 4096;

struct Cipher {
  std::uint16_t type;
  std::size_t bytes;  // of its struct
};
constexpr std::array<Cipher, 3> kCiphers{{
    {TLS_CIPHER_AES_GCM_128, sizeof(tls12_crypto_info_aes_gcm_128)},
    {TLS_CIPHER_AES_GCM_256, sizeof(tls12_crypto_info_aes_gcm_256)},
    {TLS_CIPHER_CHACHA20_POLY1305, sizeof(tls12_crypto_info_chacha20_poly1305)},
}};
constexpr std::array<std::uint16_t, 2> kVersions{TLS_1_2_VERSION, TLS_1_3_VERSION};
constexpr std::size_t kKinds = kCiphers.size() * kVersions.size();

// The structs begin with the version and the cipher, then the IV; the number of the next record ends them.
constexpr std::size_t kIvAt = sizeof(tls_crypto_info);
constexpr std::size_t kGcmIvBytes = TLS_CIPHER_AES_GCM_128_IV_SIZE;
constexpr std::size_t kNumberBytes = TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE;
static_assert(offsetof(tls12_crypto_info_aes_gcm_128, iv) == kIvAt);
static_assert(offsetof(tls12_crypto_info_aes_gcm_256, iv) == kIvAt);
static_assert(kGcmIvBytes == TLS_CIPHER_AES_GCM_256_IV_SIZE);
static_assert(offsetof(tls12_crypto_info_aes_gcm_128, rec_seq) + kNumberBytes == sizeof(tls12_crypto_info_aes_gcm_128));
static_assert(offsetof(tls12_crypto_info_aes_gcm_256, rec_seq) + kNumberBytes == sizeof(tls12_crypto_info_aes_gcm_256));
static_assert(offsetof(tls12_crypto_info_chacha20_poly1305, rec_seq) + kNumberBytes ==
              sizeof(tls12_crypto_info_chacha20_poly1305));
static_assert(std::ranges::all_of(kCiphers, [](const Cipher& c) { return c.bytes <= TlsWriteKeys::kBytesMax; }));

// Its bit in KernelTls; nullopt: none that we know.
std::optional<std::size_t> kind_of(const tls_crypto_info& keys) {
  const auto* const cipher = std::ranges::find(kCiphers, keys.cipher_type, &Cipher::type);
  const auto* const version = std::ranges::find(kVersions, keys.version);
  if (cipher == kCiphers.end() || version == kVersions.end()) return std::nullopt;
  return static_cast<std::size_t>((version - kVersions.begin()) * static_cast<std::ptrdiff_t>(kCiphers.size()) +
                                  (cipher - kCiphers.begin()));
}

// Big endian, as it is counted on the wire; around at its end.
void increment(std::span<std::byte> number) {
  for (std::size_t at = number.size(); at-- > 0;) {
    number[at] = static_cast<std::byte>(std::to_integer<unsigned>(number[at]) + 1);
    if (number[at] != std::byte{0}) return;
  }
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> fail_with_errno(std::string_view doing) { return fail(Error{std::strerror(errno)}, doing); }

class Loopback {
 public:
  static Result<Loopback> open() {
    Loopback loopback{Socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    const int fd = loopback.listener_.fd();
    if (fd < 0) return fail_with_errno("opening a socket");
    loopback.address_.sin_family = AF_INET;
    loopback.address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof loopback.address_;
    auto* address = reinterpret_cast<sockaddr*>(&loopback.address_);
    if (bind(fd, address, size) != 0 || listen(fd, 1) != 0 || getsockname(fd, address, &size) != 0)
      return fail_with_errno("listening on 127.0.0.1");
    return loopback;
  }

  struct Pair {
    Socket ours;
    Socket theirs;
  };
  Result<Pair> connect() const {
    Socket theirs(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (theirs.fd() < 0) return fail_with_errno("opening a socket");
    if (::connect(theirs.fd(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0)
      return fail_with_errno("connecting to 127.0.0.1");
    Socket ours(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (ours.fd() < 0) return fail_with_errno("accepting a connection of our own");
    setsockopt(theirs.fd(), SOL_SOCKET, SO_RCVTIMEO, &kProbeTimeout, sizeof kProbeTimeout);
    return Pair{std::move(ours), std::move(theirs)};
  }

 private:
  explicit Loopback(Socket listener) : listener_(std::move(listener)) {}

  Socket listener_;
  sockaddr_in address_{};
};

// That keys are taken does not say that a record comes out.
Result<void> try_it(const Loopback& loopback, std::uint16_t version, const Cipher& cipher) {
  const auto pair = loopback.connect();
  if (!pair) return tl::make_unexpected(pair.error());
  alignas(std::uint64_t) std::array<std::byte, TlsWriteKeys::kBytesMax> zero_keys{};
  const tls_crypto_info kind{.version = version, .cipher_type = cipher.type};
  std::memcpy(zero_keys.data(), &kind, sizeof kind);
  const TlsWriteKeys keys(reinterpret_cast<const tls_crypto_info&>(zero_keys));
  if (const auto ok = keys.hand_over(pair->ours.fd()); !ok) return ok;
  constexpr char kApplicationData = 23;  // RFC 8446 5.1
  char first = 0;
  if (send(pair->ours.fd(), "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) return fail_with_errno("sending a record");
  if (recv(pair->theirs.fd(), &first, 1, 0) != 1) return fail_with_errno("waiting for a record");
  if (first != kApplicationData) return fail("what was sent did not come as a record");
  return {};
}

}  // namespace

Result<KernelTls> KernelTls::probe() {
  const auto loopback = Loopback::open();
  if (!loopback) return tl::make_unexpected(loopback.error());
  KernelTls found;
  std::optional<Error> first_error;
  for (const std::uint16_t version : kVersions) {
    for (const Cipher& cipher : kCiphers) {
      const auto ok = try_it(*loopback, version, cipher);
      if (ok) found.kinds_ |= static_cast<std::uint8_t>(1 << *kind_of({version, cipher.type}));
      if (!ok && !first_error) first_error = ok.error();
    }
  }
  if (!found.takes_any()) return tl::make_unexpected(*first_error);
  return found;
}

KernelTls KernelTls::all() {
  KernelTls all;
  all.kinds_ = (1 << kKinds) - 1;
  return all;
}

bool KernelTls::takes(const tls_crypto_info& keys) const {
  const auto kind = kind_of(keys);
  return kind && (kinds_ >> *kind & 1) != 0;
}

TlsWriteKeys::TlsWriteKeys(const tls_crypto_info& keys) {
  const auto* const cipher = std::ranges::find(kCiphers, keys.cipher_type, &Cipher::type);
  RT_CHECK(cipher != kCiphers.end());
  size_ = cipher->bytes;
  std::memcpy(bytes_.data(), &keys, size_);
}

TlsWriteKeys::~TlsWriteKeys() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

// TLS 1.2 sends a nonce of its own with each record of AES-GCM, which is counted up beside the number (RFC 5288 3);
// everywhere else the nonce follows from the number.
void TlsWriteKeys::skip_record() {
  const auto& kind = reinterpret_cast<const tls_crypto_info&>(bytes_);
  increment(std::span(bytes_).subspan(size_ - kNumberBytes, kNumberBytes));
  if (kind.version == TLS_1_2_VERSION && kind.cipher_type != TLS_CIPHER_CHACHA20_POLY1305)
    increment(std::span(bytes_).subspan(kIvAt, kGcmIvBytes));
}

Result<void> TlsWriteKeys::hand_over(int fd) const {
  static constexpr char kUlp[] = "tls";
  if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, kUlp, sizeof kUlp) != 0 && errno != EEXIST)
    return fail_with_errno("setting TCP_ULP");
  if (setsockopt(fd, SOL_TLS, TLS_TX, bytes_.data(), static_cast<socklen_t>(size_)) != 0)
    return fail_with_errno("setting TLS_TX");
  return {};
}

void mark_as_alert(msghdr& message) {
  struct alignas(cmsghdr) Control {
    std::array<unsigned char, CMSG_SPACE(1)> bytes{};
  };
  static constexpr unsigned char kAlert = 21;  // RFC 8446 5.1
  static const Control kControl = [] {
    Control control;
    const cmsghdr header{.cmsg_len = CMSG_LEN(1), .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE};
    std::memcpy(control.bytes.data(), &header, sizeof header);
    control.bytes[CMSG_LEN(0)] = kAlert;
    return control;
  }();
  message.msg_control = const_cast<Control*>(&kControl);  // the kernel only reads it
  message.msg_controllen = sizeof kControl;
}

bool holds_much_output(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > kMuchOutputBytes;
}

}  // namespace rt::net
