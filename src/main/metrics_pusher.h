// Sends the metrics of this node to a receiver from time to time, for networks in which nobody can come and scrape.
//
// It has a thread of its own: a receiver that hangs keeps nobody waiting but the next push.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/counter.h"
#include "base/log.h"
#include "main/http_client.h"
#include "main/http_url.h"

namespace rt::app {

struct PushConfig {
  HttpUrl url;
  std::string user;
  std::optional<std::string> password;         // nullopt: the receiver asks for none
  std::chrono::milliseconds interval{30'000};  // from the end of a push to the next one
  std::chrono::milliseconds timeout{15'000};   // for connecting, for sending, and for the answer, each
  bool compress = true;
  std::vector<std::string> extra_labels;  // `name=value`
};

// Of the node, of its tenants.
inline constexpr std::size_t kPushParts = 2;
inline constexpr std::array<std::string_view, kPushParts> kPushPartNames{"node", "tenants"};

// Written by the pusher's thread, read by anyone.
struct PushCounters {
  std::array<Counter, kPushParts> taken;
  std::array<Counter, kPushParts> failed;
};

class MetricsPusher {
 public:
  static constexpr std::chrono::seconds kPushTimeMax{60};
  static constexpr std::chrono::seconds kSlowPush{5};  // is worth a warning

  using Scrapes = std::array<std::function<std::string()>, kPushParts>;  // thread-safe

  // `log` and `counters` outlive the pusher. The first push is one interval from now.
  MetricsPusher(PushConfig config, Scrapes scrapes, Log& log, PushCounters& counters);
  // Gives up what is on its way.
  ~MetricsPusher();
  MetricsPusher(const MetricsPusher&) = delete;
  MetricsPusher& operator=(const MetricsPusher&) = delete;

 private:
  void run();
  void push();
  HttpCall call_with(std::string text) const;
  void note(std::size_t part, const Result<HttpAnswer>& answer, std::chrono::steady_clock::duration took);

  const PushConfig config_;
  const Scrapes scrapes_;
  Log& log_;
  PushCounters& counters_;
  HttpClient client_;
  std::array<std::string, kPushParts> faults_;  // what went wrong at the last push; empty: nothing
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rt::app
