#include "io/net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>

namespace rt::net {

namespace asio = boost::asio;
using asio::ip::tcp;

struct Listener::Impl {
  Impl(asio::io_context& io, std::vector<Worker*> all, std::int64_t max)
      : acceptor(io), retry(io), workers(std::move(all)), connections_max(max) {}

  void wait();
  void accept_ready();
  void retry_soon();
  Worker& least_loaded();
  std::int64_t connections() const;

  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::vector<Worker*> workers;
  std::int64_t connections_max;
  std::shared_ptr<const TlsIdentity> identity;
  std::size_t next = 0;  // where the search for the least loaded begins, so that ties go round
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> failures{0};
};

namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kRetryAfter{20};

bool machine_has_ipv6() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  const bool usable = bind(fd, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0;
  ::close(fd);
  return usable;
}

IpAddress address_of(const sockaddr_storage& peer) {
  if (peer.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(peer);
    return IpAddress::v4(reinterpret_cast<const std::uint8_t*>(&v4.sin_addr));
  }
  if (peer.ss_family != AF_INET6) return {};
  return IpAddress::v6(reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr.s6_addr);
}

// Accepted sockets inherit these. No delay: frames go out when they are due. Of a client that does not read, the kernel
// holds so much unsent and no more; the rest stays in our queue, where it is counted and shared.
void set_for_accepted(int listener) {
  constexpr int kOn = 1;
  constexpr int kUnsentBytesMax = 64 * 1024;
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  setsockopt(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytesMax, sizeof kUnsentBytesMax);
}

Result<asio::ip::address> address_of(const ListenerConfig& config) {
  if (config.address.empty()) {
    const bool v6 = config.family == Family::kV6 || (config.family == Family::kAny && machine_has_ipv6());
    return v6 ? asio::ip::address(asio::ip::address_v6::any()) : asio::ip::address(asio::ip::address_v4::any());
  }
  boost::system::error_code error;
  auto address = asio::ip::make_address(config.address == "localhost" ? "127.0.0.1" : config.address, error);
  if (error) {
    return fail("LISTEN_ADDRESS '" + config.address +
                "' is not an IP address: give one of this machine's, e.g. 127.0.0.1 or ::");
  }
  return address;
}

}  // namespace

Listener::Listener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(const ListenerConfig& config, asio::io_context& io,
                                                 std::vector<Worker*> workers) {
  const auto address = address_of(config);
  if (!address) return tl::make_unexpected(address.error());
  const tcp::endpoint endpoint(*address, config.port);
  auto impl = std::make_unique<Impl>(io, std::move(workers), config.connections_max);
  boost::system::error_code error;
  impl->acceptor.open(endpoint.protocol(), error);
  if (error) return fail("cannot open a listening socket: " + error.message());
  impl->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (address->is_v6()) impl->acceptor.set_option(asio::ip::v6_only(config.family == Family::kV6), error);
  impl->acceptor.bind(endpoint, error);
  const std::string where = address->to_string() + " port " + std::to_string(config.port);
  if (error == asio::error::address_in_use) {
    return fail(
        where +
        " is in use by another program: stop it, or choose another port with PORT or --port (0 takes a free one)");
  }
  if (error) return fail("cannot bind " + where + ": " + error.message());
  set_for_accepted(impl->acceptor.native_handle());
  impl->acceptor.listen(4096, error);
  if (error) return fail("cannot listen on " + where + ": " + error.message());
  impl->acceptor.non_blocking(true, error);
  impl->identity = config.identity;
  impl->wait();
  return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

void Listener::Impl::wait() {
  acceptor.async_wait(tcp::acceptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error) accept_ready();
  });
}

void Listener::Impl::retry_soon() {
  retry.expires_after(kRetryAfter);
  retry.async_wait([this](const boost::system::error_code& error) {
    if (!error) accept_ready();
  });
}

std::int64_t Listener::Impl::connections() const {
  std::int64_t sum = 0;
  for (const Worker* worker : workers) sum += worker->connections();
  return sum;
}

void Listener::Impl::accept_ready() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (connections() >= connections_max) return retry_soon();
    sockaddr_storage peer{};
    socklen_t peer_bytes = sizeof peer;
    const int fd = accept4(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&peer), &peer_bytes,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN) return wait();
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // Out of descriptors or memory: those that are open go on, and closing ones make room.
      failures.fetch_add(1, std::memory_order_relaxed);
      return retry_soon();
    }
    accepted.fetch_add(1, std::memory_order_relaxed);
    least_loaded().adopt(fd, address_of(peer), identity);
  }
  wait();
}

Worker& Listener::Impl::least_loaded() {
  std::size_t best = next % workers.size();
  for (std::size_t step = 1; step < workers.size(); ++step) {
    const std::size_t candidate = (next + step) % workers.size();
    if (workers[candidate]->connections() < workers[best]->connections()) best = candidate;
  }
  next = best + 1;
  return *workers[best];
}

std::uint16_t Listener::port() const { return impl_->acceptor.local_endpoint().port(); }

void Listener::set_identity(std::shared_ptr<const TlsIdentity> identity) { impl_->identity = std::move(identity); }

void Listener::close() {
  impl_->retry.cancel();
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
}

std::int64_t Listener::connections() const { return impl_->connections(); }
std::uint64_t Listener::accepted() const { return impl_->accepted.load(std::memory_order_relaxed); }
std::uint64_t Listener::failures() const { return impl_->failures.load(std::memory_order_relaxed); }

}  // namespace rt::net
