// What TLS costs: the fan-outs and connections of the plain port against those of the TLS port of a second server.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "load/audience.h"
#include "load/payload.h"
#include "load/scenario.h"
#include "load/usage.h"

namespace rt::load {
namespace {

constexpr std::size_t kPayloadBytes = 128;
constexpr double kRatioMax = 2;
constexpr std::size_t kConnections = 2'000;

// A self-signed certificate with a key on P-256, in a directory that goes with it.
class Certificate {
 public:
  static Result<Certificate> make() {
    std::string directory = std::filesystem::temp_directory_path() / "load_bench-tls-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) return fail("cannot make a temporary directory");
    Certificate out(directory);
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* x509 = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 24L * 60 * 60);
    X509_set_pubkey(x509, key);
    const bool ok = X509_sign(x509, key, EVP_sha256()) > 0 && out.write(x509, key);
    X509_free(x509);
    EVP_PKEY_free(key);
    if (!ok) return fail("cannot make a certificate");
    return out;
  }
  Certificate(Certificate&&) = default;
  ~Certificate() {
    std::error_code ignored;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
  }

  std::string certificate() const { return directory_ / "server.pem"; }
  std::string key() const { return directory_ / "server.key"; }

 private:
  explicit Certificate(std::filesystem::path directory) : directory_(std::move(directory)) {}

  bool write(X509* x509, EVP_PKEY* private_key) const {
    std::FILE* out = std::fopen(certificate().c_str(), "we");
    const bool has_certificate = out != nullptr && PEM_write_X509(out, x509) == 1;
    if (out != nullptr) std::fclose(out);
    out = std::fopen(key().c_str(), "we");
    const bool has_key =
        out != nullptr && PEM_write_PrivateKey(out, private_key, nullptr, nullptr, 0, nullptr, nullptr) == 1;
    if (out != nullptr) std::fclose(out);
    return has_certificate && has_key;
  }

  std::filesystem::path directory_;
};

Result<void> compare(const Bench& bench, const ServerConfig& secured, const std::string& scenario,
                     const Traffic& traffic) {
  const auto plain = ServerAudience::gather(bench, bench.server, traffic);
  if (!plain) return tl::make_unexpected(plain.error());
  const auto secure = ServerAudience::gather(bench, secured, traffic, {}, Wire::kTls);
  if (!secure) return tl::make_unexpected(secure.error());
  const auto runs = measure_in_turns(bench, **plain, **secure, traffic);
  if (!runs) return tl::make_unexpected(runs.error());
  add_cost_of_other(bench.report, scenario, *runs, kRatioMax);
  return {};
}

// What a connection costs, of one server.
struct ConnectionCost {
  double cpu_us = 0;
  double bytes = 0;
};

Result<ConnectionCost> cost_of_connections(const Bench& bench, const ServerConfig& config, Wire wire) {
  const auto server = ServerProcess::start(config);
  if (!server) return tl::make_unexpected(server.error());
  const std::uint16_t port = wire == Wire::kTls ? (*server)->tls_port() : (*server)->port();
  Crowd crowd(bench.loop, port, (*server)->handshake(), wire);
  const auto topic = [](std::size_t) { return Crowd::Topics{"realtime:topic"}; };
  if (const auto ok = crowd.add(kConnections, topic); !ok) return tl::make_unexpected(ok.error());
  const auto cpu_before = settled_cpu_ns((*server)->pid());
  const auto bytes_before = settled_rss_bytes((*server)->pid());
  if (const auto ok = crowd.add(kConnections, topic); !ok) return tl::make_unexpected(ok.error());
  const auto cpu_after = settled_cpu_ns((*server)->pid());
  const auto bytes_after = settled_rss_bytes((*server)->pid());
  if (!cpu_before || !cpu_after || !bytes_before || !bytes_after) return fail("cannot read what the server uses");
  return ConnectionCost{static_cast<double>(*cpu_after - *cpu_before) / 1e3 / kConnections,
                        (static_cast<double>(*bytes_after) - static_cast<double>(*bytes_before)) / kConnections};
}

Result<void> connections_by_tls(const Bench& bench, const ServerConfig& secured) {
  Series cpu, plain_cpu, bytes, plain_bytes;
  for (int run = 0; run < bench.runs; ++run) {
    const auto plain = cost_of_connections(bench, bench.server, Wire::kPlain);
    if (!plain) return tl::make_unexpected(plain.error());
    const auto secure = cost_of_connections(bench, secured, Wire::kTls);
    if (!secure) return tl::make_unexpected(secure.error());
    plain_cpu.push_back(plain->cpu_us);
    plain_bytes.push_back(plain->bytes);
    cpu.push_back(secure->cpu_us);
    bytes.push_back(secure->bytes);
  }
  const std::string scenario = "TLS, connections";
  bench.report.add({.scenario = scenario,
                    .figure = "server CPU per connect + join",
                    .unit = "µs",
                    .values = cpu,
                    .baseline = plain_cpu,
                    .ratio = ratios(cpu, plain_cpu)});
  bench.report.add({.scenario = scenario,
                    .figure = "RSS per connection",
                    .unit = "bytes",
                    .values = bytes,
                    .baseline = plain_bytes,
                    .ratio = ratios(bytes, plain_bytes)});
  return {};
}

}  // namespace

Result<void> tls(const Bench& bench) {
  const auto certificate = Certificate::make();
  if (!certificate) return tl::make_unexpected(certificate.error());
  ServerConfig secured = bench.server;
  for (const std::string& word : {std::string("--tls-port"), std::string("0"), std::string("--tls-cert"),
                                  certificate->certificate(), std::string("--tls-key"), certificate->key()})
    secured.args.push_back(word);

  Traffic traffic{.payload = plain_payload(kPayloadBytes)};
  if (const auto ok = compare(bench, secured, "TLS, one by one", traffic); !ok) return ok;
  traffic.in_flight = 16;
  traffic.rounds = 100;
  if (const auto ok = compare(bench, secured, "TLS, 16 in flight", traffic); !ok) return ok;
  return connections_by_tls(bench, secured);
}

}  // namespace rt::load
