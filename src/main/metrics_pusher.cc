#include "main/metrics_pusher.h"

#include <pthread.h>

#include <utility>

#include "base/base64.h"
#include "base/percent.h"
#include "protocol/http/gzip.h"

namespace rt::app {
namespace {

using std::chrono::steady_clock;

std::string with_labels(const HttpUrl& url, const std::vector<std::string>& labels) {
  std::string target = url.target;
  for (const std::string& label : labels) {
    target += target.find('?') == std::string::npos ? '?' : '&';
    target += "extra_label=" + percent_encode(label);
  }
  return target;
}

std::string seconds_text(steady_clock::duration took) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(took).count()) + " s";
}

}  // namespace

MetricsPusher::MetricsPusher(PushConfig config, Scrapes scrapes, Log& log, PushCounters& counters)
    : config_(std::move(config)), scrapes_(std::move(scrapes)), log_(log), counters_(counters), thread_([this] {
        pthread_setname_np(pthread_self(), "metrics-pusher");
        run();
      }) {}

MetricsPusher::~MetricsPusher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  client_.stop();
  thread_.join();
}

void MetricsPusher::run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, config_.interval, [this] { return stopping_; })) {
    lock.unlock();
    push();
    lock.lock();
  }
}

void MetricsPusher::push() {
  const steady_clock::time_point began = steady_clock::now();
  for (std::size_t part = 0; part < kPushParts; ++part) {
    client_.start(call_with(scrapes_[part]()), [this, part, began](const Result<HttpAnswer>& answer) {
      note(part, answer, steady_clock::now() - began);
    });
  }
  client_.wait();
  const auto took = steady_clock::now() - began;
  if (took > kSlowPush) log_.warning("pushing the metrics took " + seconds_text(took));
}

HttpCall MetricsPusher::call_with(std::string text) const {
  HttpCall call{.method = "POST",
                .url = (config_.url.uses_tls ? "https://" : "http://") + config_.url.authority(),
                .path = with_labels(config_.url, config_.extra_labels),
                .headers = {{"content-type", "text/plain"}},
                .step_timeout = config_.timeout,
                .total_timeout = kPushTimeMax};
  if (config_.compress) call.headers.emplace_back("content-encoding", "gzip");
  if (config_.password)
    call.headers.emplace_back("authorization", "Basic " + base64_encode(config_.user + ":" + *config_.password));
  call.body = config_.compress ? http::gzip(text) : std::move(text);
  return call;
}

// It is said once when something goes wrong, or wrong in another way, and once when all is well again.
void MetricsPusher::note(std::size_t part, const Result<HttpAnswer>& answer, steady_clock::duration took) {
  const bool is_taken = answer && answer->status / 100 == 2;
  (is_taken ? counters_.taken : counters_.failed)[part].add();
  std::string fault;
  if (!answer) fault = answer.error().message;
  if (answer && !is_taken) fault = "the receiver answered " + std::to_string(answer->status);
  if (std::exchange(faults_[part], fault) == fault) return;

  const std::string what = "metrics of the " + std::string(kPushPartNames[part]);
  if (is_taken) return log_.info(what + " are pushed again");
  const std::string_view code = took >= kPushTimeMax ? "MetricsPusherTimeout" : "MetricsPusherFailed";
  log_.write(LogLevel::kError, {.error_code = code},
             std::string(code) + ": " + what + " were not pushed: " + fault + " (METRICS_PUSHER_URL)");
}

}  // namespace rt::app
