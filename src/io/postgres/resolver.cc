#include "io/postgres/resolver.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace rt::postgres {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Addresses = std::vector<std::string>;

rt::Result<Addresses> chosen(const tcp::resolver::results_type& found, const std::string& host, AddressFamily family) {
  Addresses v6;
  Addresses v4;
  for (const auto& entry : found) {
    const auto address = entry.endpoint().address();
    (address.is_v6() ? v6 : v4).push_back(address.to_string());
  }
  Addresses out;
  const bool only_v6 = family == AddressFamily::kV6 || (family == AddressFamily::kV6ThenV4 && !v6.empty());
  if (family != AddressFamily::kV4) out = v6;
  if (!only_v6) out.insert(out.end(), v4.begin(), v4.end());
  if (out.size() > Resolver::kAddressesMax) out.resize(Resolver::kAddressesMax);
  if (!out.empty()) return out;
  const std::string_view kind = family == AddressFamily::kV4 ? "IPv4 " : family == AddressFamily::kV6 ? "IPv6 " : "";
  return rt::fail("no " + std::string(kind) + "address of " + host);
}

class AsioResolver final : public Resolver {
 public:
  explicit AsioResolver(asio::io_context& io) : resolver_(io) {}

  void resolve(const std::string& host, AddressFamily family, Done done) override {
    resolver_.async_resolve(host, "",
                            [host, family, done = std::move(done)](const boost::system::error_code& error,
                                                                   const tcp::resolver::results_type& found) {
                              if (error) return done(rt::fail("no address of " + host + ": " + error.message()));
                              done(chosen(found, host, family));
                            });
  }

 private:
  tcp::resolver resolver_;
};

}  // namespace

std::unique_ptr<Resolver> make_resolver(asio::io_context& io) { return std::make_unique<AsioResolver>(io); }

}  // namespace rt::postgres
