#include "io/net/tls.h"

#include <doctest/doctest.h>
#include <linux/tls.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <cstring>
#include <set>
#include <vector>

#include "testing/certificate.h"
#include "testing/temporary_directory.h"

namespace rt::net {
namespace {

// OpenSSL's own client, between two memories.
class Client {
 public:
  // Any cipher, or the one that is named.
  explicit Client(int version = TLS1_3_VERSION, const char* cipher = nullptr)
      : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
    if (cipher != nullptr && version == TLS1_3_VERSION) REQUIRE(SSL_set_ciphersuites(ssl_, cipher) == 1);
    if (cipher != nullptr && version == TLS1_2_VERSION) REQUIRE(SSL_set_cipher_list(ssl_, cipher) == 1);
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
  }
  ~Client() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool shake_hands() { return SSL_do_handshake(ssl_) == 1; }
  void say(std::string_view text) { SSL_write(ssl_, text.data(), static_cast<int>(text.size())); }
  void ask_for_new_keys() {
    SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(ssl_);
  }
  void ask_for_new_handshake() {
    SSL_renegotiate(ssl_);
    SSL_do_handshake(ssl_);
  }
  // What the server said last: that nothing more comes.
  bool has_heard_the_end() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  void hear(std::string_view wire) { BIO_write(SSL_get_rbio(ssl_), wire.data(), static_cast<int>(wire.size())); }
  std::string meant() {
    std::string out(100'000, '\0');
    std::size_t bytes = 0;
    for (std::size_t some = 0; SSL_read_ex(ssl_, out.data() + bytes, out.size() - bytes, &some) == 1;) bytes += some;
    out.resize(bytes);
    return out;
  }
  std::string wire() {
    char* data = nullptr;
    BIO* bio = SSL_get_wbio(ssl_);
    const long size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<std::size_t>(size));
    BIO_reset(bio);
    return out;
  }

 private:
  SSL_CTX* context_;
  SSL* ssl_;
};

Result<std::shared_ptr<const TlsIdentity>> load(const std::string& directory, KernelTls kernel) {
  const CertificateFiles files = make_certificate(directory);
  return TlsIdentity::load({files.certificate, files.key}, kernel);
}

class Pair {
 public:
  explicit Pair(int version = TLS1_3_VERSION, const char* cipher = nullptr, KernelTls kernel = {})
      : session(**load(directory_.path(), kernel)), client(version, cipher), room_(200'000) {}

  // What the server understood; the session goes on.
  std::string give_to_server(std::string_view wire) {
    const auto [peer, bytes] = session.hear({wire.data(), wire.size()}, room_);
    last_peer = peer;
    return {room_.data(), bytes};
  }
  void give_to_client() {
    client.hear(session.unsent());
    session.sent(session.unsent().size());
  }
  void shake_hands() {
    while (!client.shake_hands() || !session.is_established()) {
      give_to_server(client.wire());
      REQUIRE(last_peer == TlsSession::Peer::kGoesOn);
      give_to_client();
    }
  }

 private:
  TemporaryDirectory directory_;

 public:
  TlsSession session;
  Client client;
  TlsSession::Peer last_peer = TlsSession::Peer::kGoesOn;

 private:
  std::vector<char> room_;
};

bool say(TlsSession& session, std::string text) {
  const iovec piece{text.data(), text.size()};
  return session.say({&piece, 1});
}

// --- what a kernel does with keys that it gets

struct Kind {
  int version;
  const char* cipher;  // for OpenSSL
};
constexpr Kind kKinds[] = {
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"}, {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"}, {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},        {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},
};

constexpr char kAlert = 21;  // RFC 8446 5.1
constexpr char kApplicationData = 23;

// Writes records of its own, from nothing but the bytes that are handed over.
class PaperKernel {
 public:
  explicit PaperKernel(std::span<const std::byte> info) {
    tls_crypto_info kind{};
    std::memcpy(&kind, info.data(), sizeof kind);
    version_ = kind.version;
    switch (kind.cipher_type) {
      case TLS_CIPHER_AES_GCM_128:
        take<tls12_crypto_info_aes_gcm_128>(info, EVP_aes_128_gcm());
        break;
      case TLS_CIPHER_AES_GCM_256:
        take<tls12_crypto_info_aes_gcm_256>(info, EVP_aes_256_gcm());
        break;
      default:
        take<tls12_crypto_info_chacha20_poly1305>(info, EVP_chacha20_poly1305());
        break;
    }
  }

  // RFC 5246 6.2.3.3, RFC 7905 2, RFC 8446 5.2.
  std::string record(char type, std::string_view content) {
    const bool is_1_3 = version_ == TLS_1_3_VERSION;
    const std::string explicit_nonce = is_1_3 || salt_.empty() ? "" : iv_;
    std::string nonce = salt_ + iv_;
    if (explicit_nonce.empty())
      for (std::size_t i = 0; i < number_.size(); ++i)
        nonce[nonce.size() - number_.size() + i] =
            static_cast<char>(nonce[nonce.size() - number_.size() + i] ^ number_[i]);
    const std::string plain = is_1_3 ? std::string(content) + type : std::string(content);
    std::string header{is_1_3 ? kApplicationData : type, 3, 3};
    const std::string aad =
        is_1_3 ? header + size_text(plain.size() + kTagBytes) : number_ + header + size_text(plain.size());
    header += size_text(explicit_nonce.size() + plain.size() + kTagBytes);
    increment(number_);
    if (!explicit_nonce.empty()) increment(iv_);
    return header + explicit_nonce + seal(nonce, aad, plain);
  }

 private:
  static constexpr std::size_t kTagBytes = 16;

  template <class Info>
  void take(std::span<const std::byte> bytes, const EVP_CIPHER* cipher) {
    Info info;
    REQUIRE(bytes.size() == sizeof info);
    std::memcpy(&info, bytes.data(), sizeof info);
    const auto text = [](const auto& field) {
      return std::string(reinterpret_cast<const char*>(&field), sizeof field);
    };
    key_ = text(info.key);
    iv_ = text(info.iv);
    salt_ = text(info.salt);
    number_ = text(info.rec_seq);
    cipher_ = cipher;
  }

  static std::string size_text(std::size_t size) { return {static_cast<char>(size >> 8), static_cast<char>(size)}; }

  static void increment(std::string& number) {
    std::size_t at = number.size();
    do {
      ++number[--at];
    } while (at > 0 && number[at] == 0);
  }

  std::string seal(const std::string& nonce, const std::string& aad, const std::string& plain) const {
    const auto bytes = [](const std::string& text) { return reinterpret_cast<const unsigned char*>(text.data()); };
    std::string out(plain.size() + kTagBytes, '\0');
    auto* to = reinterpret_cast<unsigned char*>(out.data());
    int written = 0;
    EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(context, cipher_, nullptr, bytes(key_), bytes(nonce));
    EVP_EncryptUpdate(context, nullptr, &written, bytes(aad), static_cast<int>(aad.size()));
    EVP_EncryptUpdate(context, to, &written, bytes(plain), static_cast<int>(plain.size()));
    EVP_EncryptFinal_ex(context, to + written, &written);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, to + plain.size());
    EVP_CIPHER_CTX_free(context);
    return out;
  }

  std::uint16_t version_ = 0;
  const EVP_CIPHER* cipher_ = nullptr;
  std::string key_;
  std::string salt_;
  std::string iv_;
  std::string number_;
};

// Of a pair whose server has nothing unsent.
PaperKernel hand_over(Pair& pair) {
  const auto keys = pair.session.take_keys();
  REQUIRE(keys != nullptr);
  pair.session.leave_writing_to_kernel();
  return PaperKernel(keys->bytes());
}

// As the worker does it: each alert in a record of its own.
void give_alerts_to_client(Pair& pair, PaperKernel& kernel) {
  while (!pair.session.unsent().empty()) {
    pair.client.hear(kernel.record(kAlert, pair.session.unsent().substr(0, kAlertBytes)));
    pair.session.sent(kAlertBytes);
  }
}

// The nonces that the records of AES-GCM in TLS 1.2 carry.
std::vector<std::string> explicit_nonces(std::string_view wire) {
  std::vector<std::string> out;
  while (wire.size() >= 5 + 8) {
    const std::size_t size = static_cast<unsigned char>(wire[3]) * 256u + static_cast<unsigned char>(wire[4]);
    if (wire[0] == kApplicationData) out.emplace_back(wire.substr(5, 8));
    wire.remove_prefix(std::min(wire.size(), 5 + size));
  }
  return out;
}

}  // namespace

TEST_CASE("what a client says by TLS arrives, however it is cut") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Pair pair(version);
    pair.shake_hands();
    pair.client.say("first");
    pair.client.say(std::string(40'000, 'x'));
    const std::string wire = pair.client.wire();
    std::string meant;
    for (const char byte : wire) meant += pair.give_to_server({&byte, 1});
    CHECK(meant == "first" + std::string(40'000, 'x'));
    CHECK(pair.session.bytes_held() == 0);
  }
}

TEST_CASE("what the server says arrives, and the end of it too") {
  Pair pair;
  pair.shake_hands();
  pair.give_to_client();
  REQUIRE(say(pair.session, "hello"));
  REQUIRE(say(pair.session, std::string(50'000, 'y')));
  pair.session.end();
  pair.give_to_client();
  CHECK(pair.client.meant() == "hello" + std::string(50'000, 'y'));
  CHECK(pair.session.unsent().empty());
}

TEST_CASE("a session at rest holds no record, and one with half a record says so") {
  Pair pair;
  pair.shake_hands();
  CHECK(pair.session.bytes_held() == 0);
  pair.client.say("text");
  const std::string wire = pair.client.wire();
  CHECK(pair.give_to_server(wire.substr(0, wire.size() - 1)).empty());
  CHECK(pair.session.bytes_held() == TlsSession::kHeldBackBytesMax);
  CHECK(pair.give_to_server(wire.substr(wire.size() - 1)) == "text");
  CHECK(pair.session.bytes_held() == 0);
}

TEST_CASE("a client that asks for new keys again and again is let go") {
  Pair pair;
  pair.shake_hands();
  for (std::uint64_t n = 0; n < TlsSession::kDemandsMax - 1; ++n) {
    pair.client.ask_for_new_keys();
    pair.give_to_server(pair.client.wire());
    REQUIRE(pair.last_peer == TlsSession::Peer::kGoesOn);
  }
  REQUIRE(say(pair.session, "with new keys"));
  pair.give_to_client();
  CHECK(pair.client.meant() == "with new keys");
  pair.client.ask_for_new_keys();
  pair.give_to_server(pair.client.wire());
  CHECK(pair.last_peer == TlsSession::Peer::kHasFailed);
  CHECK(pair.session.fault() == "the client asks for new keys or a new handshake too often");
}

TEST_CASE("a handshake that goes on and on is let go") {
  Pair pair;
  // The record header of a long handshake message, whose bytes come as slowly as the client likes.
  const std::string record =
      std::string("\x16\x03\x01\x40\x00", 5) + std::string("\x01\x01\x00\x00", 4) + std::string(0x4000 - 4, '\0');
  pair.give_to_server(record);
  REQUIRE(pair.last_peer == TlsSession::Peer::kGoesOn);
  pair.give_to_server(record);
  CHECK(pair.last_peer == TlsSession::Peer::kHasFailed);
  CHECK(pair.session.fault() == "it is too long");
  CHECK_FALSE(say(pair.session, "anything"));
}

TEST_CASE("a plain HTTP request is told apart from what is nothing at all") {
  Pair http;
  http.give_to_server("GET / HTTP/1.1\r\n\r\n");
  CHECK(http.last_peer == TlsSession::Peer::kSpeaksPlain);
  Pair garbage;
  garbage.give_to_server(std::string(100, '\x7f'));
  CHECK(garbage.last_peer == TlsSession::Peer::kHasFailed);
}

TEST_CASE("a kernel that gets the keys goes on where the session stopped, with every kind that it may know") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.cipher);
    Pair pair(kind.version, kind.cipher, KernelTls::all());
    pair.shake_hands();
    pair.give_to_client();
    REQUIRE(say(pair.session, "by OpenSSL, "));
    REQUIRE(say(pair.session, std::string(50'000, 'x')));
    CHECK(pair.session.take_keys() == nullptr);  // what is unsent has to go first
    pair.give_to_client();
    PaperKernel kernel = hand_over(pair);
    CHECK(pair.session.take_keys() == nullptr);
    pair.client.hear(kernel.record(kApplicationData, ", by the kernel"));
    pair.client.hear(kernel.record(kApplicationData, ", and again"));
    CHECK(pair.client.meant() == "by OpenSSL, " + std::string(50'000, 'x') + ", by the kernel, and again");
    // Reading stays ours.
    pair.client.say("answer");
    CHECK(pair.give_to_server(pair.client.wire()) == "answer");
    CHECK(pair.last_peer == TlsSession::Peer::kGoesOn);
    CHECK(pair.session.unsent().empty());
    // And the end is an alert that the kernel has to send.
    pair.session.end();
    CHECK(pair.session.unsent() == std::string_view("\x01\x00", 2));
    CHECK_FALSE(pair.client.has_heard_the_end());
    give_alerts_to_client(pair, kernel);
    CHECK(pair.client.meant().empty());
    CHECK(pair.client.has_heard_the_end());
  }
}

TEST_CASE("no nonce of AES-GCM is used twice across the handing over") {
  Pair pair(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", KernelTls::all());
  pair.shake_hands();
  pair.give_to_client();
  std::string wire;
  for (int n = 0; n < 300; ++n) REQUIRE(say(pair.session, "x"));
  wire += pair.session.unsent();
  pair.session.sent(wire.size());
  PaperKernel kernel = hand_over(pair);
  for (int n = 0; n < 300; ++n) wire += kernel.record(kApplicationData, "y");
  const std::vector<std::string> nonces = explicit_nonces(wire);
  CHECK(nonces.size() == 600);
  CHECK(std::set(nonces.begin(), nonces.end()).size() == nonces.size());
}

TEST_CASE("a session whose keys the kernel did not take goes on unharmed") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.cipher);
    Pair pair(kind.version, kind.cipher, KernelTls::all());
    pair.shake_hands();
    pair.give_to_client();
    const auto keys = pair.session.take_keys();
    REQUIRE(keys != nullptr);
    CHECK_FALSE(keys->hand_over(-1));
    REQUIRE(say(pair.session, "as before"));
    pair.give_to_client();
    CHECK(pair.client.meant() == "as before");
    CHECK_FALSE(pair.session.kernel_writes());
    CHECK(pair.session.take_keys() == nullptr);
  }
}

TEST_CASE("keys are not kept for a kernel that does not know their kind, and not before the handshake is done") {
  Pair none(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
  none.shake_hands();
  none.give_to_client();
  CHECK(none.session.take_keys() == nullptr);
  Pair unknown(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", KernelTls::all());
  unknown.shake_hands();
  unknown.give_to_client();
  CHECK(unknown.session.take_keys() == nullptr);
  Pair early(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", KernelTls::all());
  early.client.shake_hands();
  early.give_to_server(early.client.wire());
  early.give_to_client();
  CHECK(early.session.take_keys() == nullptr);
}

TEST_CASE("keys that a client has replaced before the kernel got them stay here") {
  Pair pair(TLS1_3_VERSION, nullptr, KernelTls::all());
  pair.shake_hands();
  pair.give_to_client();
  pair.client.ask_for_new_keys();
  pair.give_to_server(pair.client.wire());
  CHECK(pair.session.take_keys() == nullptr);  // new ones are due
  REQUIRE(say(pair.session, "with new keys"));
  pair.give_to_client();
  CHECK(pair.client.meant() == "with new keys");
  CHECK(pair.session.take_keys() == nullptr);  // and these nobody told us
}

TEST_CASE("a client that asks the kernel for new keys is told apart, once, and heard on") {
  Pair pair(TLS1_3_VERSION, nullptr, KernelTls::all());
  pair.shake_hands();
  pair.give_to_client();
  PaperKernel kernel = hand_over(pair);
  pair.client.say("first");
  pair.client.ask_for_new_keys();
  pair.client.say("second");
  CHECK(pair.give_to_server(pair.client.wire()) == "firstsecond");
  CHECK(pair.last_peer == TlsSession::Peer::kAsksForKeys);
  pair.client.ask_for_new_keys();
  pair.client.say("third");
  CHECK(pair.give_to_server(pair.client.wire()) == "third");
  CHECK(pair.last_peer == TlsSession::Peer::kGoesOn);
  CHECK(pair.session.unsent().empty());
  pair.client.hear(kernel.record(kApplicationData, "parting"));
  pair.session.end();
  give_alerts_to_client(pair, kernel);
  CHECK(pair.client.meant() == "parting");
  CHECK(pair.client.has_heard_the_end());
}

TEST_CASE("what OpenSSL has to say while the kernel writes are alerts in plain text") {
  Pair renegotiating(TLS1_2_VERSION, nullptr, KernelTls::all());
  renegotiating.shake_hands();
  PaperKernel kernel = hand_over(renegotiating);
  renegotiating.client.ask_for_new_handshake();
  renegotiating.give_to_server(renegotiating.client.wire());
  CHECK(renegotiating.last_peer == TlsSession::Peer::kGoesOn);
  CHECK(renegotiating.session.unsent() == std::string_view("\x01\x64", 2));  // no_renegotiation

  Pair broken(TLS1_3_VERSION, nullptr, KernelTls::all());
  broken.shake_hands();
  broken.give_to_client();
  hand_over(broken);
  broken.give_to_server(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
  CHECK(broken.last_peer == TlsSession::Peer::kHasFailed);
  CHECK(broken.session.unsent() == std::string_view("\x02\x14", 2));  // bad_record_mac
}

}  // namespace rt::net
