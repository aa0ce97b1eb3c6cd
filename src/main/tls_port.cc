#include "main/tls_port.h"

#include <chrono>
#include <ctime>
#include <utility>

namespace rt::app {
namespace {

constexpr std::int64_t kWarnBeforeSeconds = 14LL * 24 * 60 * 60;

std::string date(std::int64_t unix_seconds) {
  const std::time_t when = unix_seconds;
  std::tm utc{};
  gmtime_r(&when, &utc);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return {text, size};
}

}  // namespace

Result<std::unique_ptr<TlsPort>> TlsPort::open(net::ListenerConfig config, net::TlsFiles files, TlsOffload offload,
                                               boost::asio::io_context& io, std::vector<net::Worker*> workers,
                                               Log& log) {
  std::unique_ptr<TlsPort> port(new TlsPort(std::move(files), offload, log));
  const auto identity = port->load();
  if (!identity) return tl::make_unexpected(identity.error());
  config.identity = *identity;
  auto listener = net::Listener::open(config, io, std::move(workers));
  if (!listener) return tl::make_unexpected(listener.error());
  port->listener_ = std::move(*listener);
  port->note(**identity);
  return port;
}

void TlsPort::reload() {
  const auto identity = load();
  if (!identity) return log_.error("the TLS certificate stays as it was: " + identity.error().message);
  listener_->set_identity(*identity);
  note(**identity);
}

Result<std::shared_ptr<const net::TlsIdentity>> TlsPort::load() {
  if (offload_ == TlsOffload::kOff) return net::TlsIdentity::load(files_);
  const auto kernel = net::KernelTls::probe();
  if (kernel) {
    log_.info("the kernel encrypts what is sent by TLS");
  } else {
    log_.info("the kernel does not encrypt what is sent by TLS (" + kernel.error().message +
              "), so the workers do: for less work load its module (modprobe tls), then send SIGHUP to this process; "
              "TLS_OFFLOAD=off asks for none of it");
  }
  return net::TlsIdentity::load(files_, kernel.value_or(net::KernelTls()));
}

void TlsPort::note(const net::TlsIdentity& identity) {
  expires_at_.store(identity.expires_at(), std::memory_order_relaxed);
  const std::string text =
      "the TLS certificate in " + files_.certificate + " is valid until " + date(identity.expires_at());
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (identity.expires_at() - now > kWarnBeforeSeconds) return log_.info(text);
  log_.warning(text + ": renew it, then send SIGHUP to this process");
}

}  // namespace rt::app
