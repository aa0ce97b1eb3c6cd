#include "load/client_loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "load/client.h"
#include "load/interrupt.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kEventsPerTurn = 1024;
constexpr std::chrono::milliseconds kLookUpInterval{100};  // for the time-out and interrupts, where nothing happens

epoll_event event_of(Client& client, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &client;
  return event;
}

}  // namespace

std::uint32_t ClientLoop::events_of(Interest interest) {
  switch (interest) {
    case Interest::kNothing:
      return 0;
    case Interest::kRead:
      return EPOLLIN;
    case Interest::kReadAndWrite:
      return EPOLLIN | EPOLLOUT;
  }
  return 0;
}

Result<std::unique_ptr<ClientLoop>> ClientLoop::create() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return fail(std::string("cannot create an epoll set: ") + std::strerror(errno));
  return std::unique_ptr<ClientLoop>(new ClientLoop(epoll));
}

ClientLoop::ClientLoop(int epoll) : epoll_(epoll), received_(new char[kReceiveBytes]) {}

ClientLoop::~ClientLoop() { close(epoll_); }

Result<void> ClientLoop::run_until(const std::function<bool()>& done, std::string_view what,
                                   std::chrono::nanoseconds timeout) {
  for (const auto deadline = Clock::now() + timeout;;) {
    if (failure_) return fail(*std::exchange(failure_, std::nullopt));
    if (done()) return {};
    if (Clock::now() >= deadline) return fail("timed out waiting for " + std::string(what));
    if (auto turned = turn(kLookUpInterval); !turned) return turned;
  }
}

Result<void> ClientLoop::run_to(Clock::time_point time) {
  for (;;) {
    if (failure_) return fail(*std::exchange(failure_, std::nullopt));
    const auto left = time - Clock::now();
    if (left <= left.zero()) return {};
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left);
    if (auto turned = turn(std::min(wait, kLookUpInterval)); !turned) return turned;
  }
}

void ClientLoop::fail_with(std::string reason) {
  if (!failure_) failure_ = std::move(reason);
}

void ClientLoop::watch(Client& client, Interest interest) {
  epoll_event event = event_of(client, events_of(interest));
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd(), &event) != 0)
    fail_with(std::string("epoll_ctl: ") + std::strerror(errno));
}

void ClientLoop::change(Client& client, Interest interest) {
  epoll_event event = event_of(client, events_of(interest));
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd(), &event) != 0)
    fail_with(std::string("epoll_ctl: ") + std::strerror(errno));
}

Result<void> ClientLoop::turn(std::chrono::milliseconds wait_max) {
  epoll_event events[kEventsPerTurn];
  const int count = epoll_wait(epoll_, events, kEventsPerTurn, static_cast<int>(wait_max.count()));
  if (count < 0 && errno != EINTR) return fail(std::string("epoll_wait: ") + std::strerror(errno));
  if (count == 0) return not_interrupted();
  for (const epoll_event& event : std::span(events, static_cast<std::size_t>(std::max(count, 0)))) {
    auto& client = *static_cast<Client*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0) client.on_writable();
    if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0)
      client.on_readable({received_.get(), kReceiveBytes});
  }
  return {};
}

}  // namespace rt::load
