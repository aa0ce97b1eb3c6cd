// A listening socket: the one, or the one that speaks TLS. It accepts on its own thread's loop and hands each
// connection to the worker with the fewest.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/net/tls.h"
#include "io/net/worker.h"

namespace boost::asio {
class io_context;
}

namespace rt::net {

enum class Family : std::uint8_t { kAny, kV4, kV6 };  // kAny: dual stack where the machine has IPv6, else IPv4

struct ListenerConfig {
  std::string address;  // empty: every address of the family
  std::uint16_t port = 0;
  Family family = Family::kAny;
  // At this many open connections of the workers new ones wait in the kernel's accept queue.
  std::int64_t connections_max = 16384;
  // Given: what is accepted speaks TLS.
  std::shared_ptr<const TlsIdentity> identity = nullptr;
};

class Listener {
 public:
  // Binds and listens; accepts once the loop runs. An occupied port is an error that names it. `io` and the workers
  // must outlive the listener.
  static Result<std::unique_ptr<Listener>> open(const ListenerConfig& config, boost::asio::io_context& io,
                                                std::vector<Worker*> workers);
  ~Listener();

  std::uint16_t port() const;
  // For connections that are accepted from now on; on the loop's thread.
  void set_identity(std::shared_ptr<const TlsIdentity> identity);
  // Accepts nothing more; connections that wait in the kernel's queue are reset.
  void close();
  std::int64_t connections() const;  // open ones, of all workers
  std::uint64_t accepted() const;    // thread-safe
  std::uint64_t failures() const;    // accept(2) failed, e.g. for want of descriptors; thread-safe

 private:
  struct Impl;
  explicit Listener(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rt::net
