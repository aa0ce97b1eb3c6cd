// The one event loop that all clients share.
//
// It has to cost less than the server that it measures: one receive buffer for everybody, one recv() per event, nothing
// allocated per frame.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace rt::load {

class Client;

class ClientLoop {
 public:
  static constexpr std::chrono::seconds kTimeout{30};

  static Result<std::unique_ptr<ClientLoop>> create();
  ~ClientLoop();
  ClientLoop(const ClientLoop&) = delete;
  ClientLoop& operator=(const ClientLoop&) = delete;

  // Turns until `done`, which is asked after each batch of events. Errors: a failure that somebody has declared, the
  // time-out (`what` says what was waited for), an interrupt.
  Result<void> run_until(const std::function<bool()>& done, std::string_view what,
                         std::chrono::nanoseconds timeout = kTimeout);

  // Turns until then. Errors: as above, but the time-out.
  Result<void> run_to(std::chrono::steady_clock::time_point time);

  // Ends run_until() with this error. The first one counts; others follow from it.
  void fail_with(std::string reason);

 private:
  friend class Client;

  enum class Interest : std::uint8_t { kNothing, kRead, kReadAndWrite };
  static constexpr std::size_t kReceiveBytes = 256 * 1024;

  explicit ClientLoop(int epoll);
  static std::uint32_t events_of(Interest interest);
  void watch(Client& client, Interest interest);
  void change(Client& client, Interest interest);
  Result<void> turn(std::chrono::milliseconds wait_max);

  const int epoll_;
  const std::unique_ptr<char[]> received_;
  std::optional<std::string> failure_;
};

}  // namespace rt::load
