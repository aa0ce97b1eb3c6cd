// The addresses of a host.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/postgres/settings.h"
#include "io/postgres/task.h"

namespace rt::postgres {

class Resolver {
 public:
  static constexpr std::size_t kAddressesMax = 8;
  // As texts, in the order in which to try them; at least one and at most kAddressesMax. The error names the host.
  using Done = std::function<void(rt::Result<std::vector<std::string>>)>;

  virtual ~Resolver() = default;
  // Calls `done` on the loop, later, once or never: who waits has a deadline.
  virtual void resolve(const std::string& host, AddressFamily family, Done done) = 0;
};

// getaddrinfo(3), on a thread for each name. The io_context outlives it.
std::unique_ptr<Resolver> make_resolver(boost::asio::io_context& io);

}  // namespace rt::postgres
