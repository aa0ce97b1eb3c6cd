#include "io/net/tls.h"

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <vector>

#include "testing/temporary_directory.h"

namespace rt::net {
namespace {

// A self-signed certificate and its key, in files.
TlsFiles make_files(const std::string& directory) {
  const TlsFiles files{directory + "/server.pem", directory + "/server.key"};
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(x509), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
  X509_set_pubkey(x509, key);
  X509_sign(x509, key, EVP_sha256());
  std::FILE* out = std::fopen(files.certificate.c_str(), "we");
  PEM_write_X509(out, x509);
  std::fclose(out);
  out = std::fopen(files.key.c_str(), "we");
  PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  X509_free(x509);
  EVP_PKEY_free(key);
  return files;
}

// OpenSSL's own client, between two memories.
class Client {
 public:
  explicit Client(int version = TLS1_3_VERSION) : context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    SSL_set_min_proto_version(ssl_, version);
    SSL_set_max_proto_version(ssl_, version);
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

class Pair {
 public:
  explicit Pair(int version = TLS1_3_VERSION)
      : session(**TlsIdentity::load(make_files(directory_.path()))), client(version), room_(200'000) {}

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

}  // namespace rt::net
