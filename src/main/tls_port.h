// The port that speaks TLS: its listener, and the certificate, which may be replaced while the server runs.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/log.h"
#include "io/net/listener.h"
#include "main/config.h"

namespace rt::app {

class TlsPort {
 public:
  // Refuses files that cannot be used. `io`, the workers and the log must outlive it.
  static Result<std::unique_ptr<TlsPort>> open(net::ListenerConfig config, net::TlsFiles files, TlsOffload offload,
                                               boost::asio::io_context& io, std::vector<net::Worker*> workers,
                                               Log& log);

  // Reads the files again and looks what the kernel can do, for new connections; where the files cannot be used the old
  // ones stay. On the loop's thread.
  void reload();
  net::Listener& listener() { return *listener_; }
  const net::Listener& listener() const { return *listener_; }
  // When the certificate ends, in Unix seconds. Thread-safe.
  std::int64_t certificate_expires_at() const { return expires_at_.load(std::memory_order_relaxed); }

 private:
  TlsPort(net::TlsFiles files, TlsOffload offload, Log& log) : files_(std::move(files)), offload_(offload), log_(log) {}
  Result<std::shared_ptr<const net::TlsIdentity>> load();
  void note(const net::TlsIdentity& identity);

  const net::TlsFiles files_;
  const TlsOffload offload_;
  Log& log_;
  std::unique_ptr<net::Listener> listener_;
  std::atomic<std::int64_t> expires_at_{0};
};

}  // namespace rt::app
