// getaddrinfo(3) blocks for as long as its servers like, and cannot be called off. So each name has a thread of its own
// that owns nothing of ours: who hosts a database behind a name server that hangs holds up nobody else, nor the end of
// the program.
#include "io/postgres/resolver.h"

#include <netdb.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_map>

namespace rt::postgres {
namespace {

namespace asio = boost::asio;
using Addresses = std::vector<std::string>;
using Found = rt::Result<Addresses>;

constexpr int kNamesMax = 64;  // looked up at a time

Found chosen(const addrinfo* found, const std::string& host, AddressFamily family) {
  Addresses v6;
  Addresses v4;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) continue;
    (entry->ai_family == AF_INET6 ? v6 : v4).emplace_back(text);
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

Found look_up(const std::string& host, AddressFamily family) {
  const addrinfo wanted{.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &wanted, &found);
  if (error != 0) return rt::fail("no address of " + host + ": " + gai_strerror(error));
  Found out = chosen(found, host, family);
  freeaddrinfo(found);
  return out;
}

class ThreadResolver final : public Resolver {
 public:
  explicit ThreadResolver(asio::io_context& io) : io_(io), shared_(std::make_shared<Shared>()) {
    shared_->resolver = this;
  }
  ~ThreadResolver() override {
    const std::lock_guard lock(shared_->mutex);
    shared_->resolver = nullptr;
  }

  void resolve(const std::string& host, AddressFamily family, Done done) override {
    const std::uint64_t id = ++last_id_;
    waiting_.emplace(id, std::move(done));
    if (shared_->running.fetch_add(1) >= kNamesMax) {
      --shared_->running;
      return answer_later(id, rt::fail("no address of " + host + ": too many names are being looked up"));
    }
    const auto work = [shared = shared_, id, host, family] {
      Found found = look_up(host, family);
      --shared->running;
      const std::lock_guard lock(shared->mutex);
      if (shared->resolver != nullptr) shared->resolver->answer_later(id, std::move(found));
    };
    try {
      std::thread(work).detach();
    } catch (const std::system_error& error) {
      --shared_->running;
      answer_later(id, rt::fail("no address of " + host + ": no thread to look it up: " + error.what()));
    }
  }

 private:
  struct Shared {
    std::mutex mutex;
    ThreadResolver* resolver = nullptr;  // null: it is gone
    std::atomic<int> running{0};
  };

  // From any thread.
  void answer_later(std::uint64_t id, Found found) {
    asio::post(io_, [shared = shared_, id, found = std::move(found)]() mutable {
      // It is destroyed on the loop, if at all.
      ThreadResolver* const self = shared->resolver;
      if (self == nullptr) return;
      const auto waiting = self->waiting_.extract(id);
      if (!waiting.empty()) waiting.mapped()(std::move(found));
    });
  }

  asio::io_context& io_;
  const std::shared_ptr<Shared> shared_;
  std::uint64_t last_id_ = 0;
  std::unordered_map<std::uint64_t, Done> waiting_;  // on the loop only
};

}  // namespace

std::unique_ptr<Resolver> make_resolver(asio::io_context& io) { return std::make_unique<ThreadResolver>(io); }

}  // namespace rt::postgres
