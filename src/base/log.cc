// A line is built whole on the thread that logs it (log_line.h); spdlog's queue carries it to one thread that calls
// write(2). Nothing is buffered behind that, so what was written is out even when the process ends by _exit.
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <thread>

#include "base/log_line.h"

namespace rt {
namespace {

using namespace std::chrono_literals;

constexpr auto kCloseTimeout = 1s;

// Where lines go: stdout, or a file that can be opened again. log() and flush() run on the log thread only.
class Destination final : public spdlog::sinks::sink {
 public:
  // `fd` is closed at the end, unless it is stdout.
  Destination(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~Destination() override {
    if (fd_ != STDOUT_FILENO) close(fd_);
  }

  static int open_file(const std::string& path) {
    return open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  }

  void request_reopen() { reopen_requested_ = true; }
  std::uint64_t lost() const { return lost_; }

  void log(const spdlog::details::log_msg& line) override {
    reopen_if_requested();
    if (!write_all({line.payload.data(), line.payload.size()})) ++lost_;
  }
  void flush() override { reopen_if_requested(); }
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  void reopen_if_requested() {
    if (!reopen_requested_.exchange(false) || path_.empty()) return;
    const int fd = open_file(path_);
    if (fd < 0) return;  // better the old file than none
    close(fd_);
    fd_ = fd;
  }

  bool write_all(std::string_view line) {
    while (!line.empty()) {
      const ssize_t written = ::write(fd_, line.data(), line.size());
      if (written >= 0) {
        line.remove_prefix(static_cast<std::size_t>(written));
      } else if (errno == EAGAIN) {  // somebody who shares our stdout made it non-blocking
        pollfd writable{fd_, POLLOUT, 0};
        poll(&writable, 1, -1);
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  int fd_;
  const std::string path_;
  std::atomic<bool> reopen_requested_{false};
  std::atomic<std::uint64_t> lost_{0};
};

// Signals are for the main thread; with SIGPIPE blocked, a reader of stdout that has gone is a failed write.
void set_up_log_thread() {
  pthread_setname_np(pthread_self(), "log");
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

class AsyncLog final : public Log {
 public:
  AsyncLog(const LogConfig& config, std::shared_ptr<Destination> destination)
      : level_(config.level), format_(config.format), region_(config.region), destination_(std::move(destination)) {
    queue_ = std::make_shared<spdlog::details::thread_pool>(kLogQueueLines, 1, set_up_log_thread);
    logger_ =
        std::make_shared<spdlog::async_logger>("", destination_, queue_, spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_error_handler([](const std::string&) {});  // spdlog's own prints to stderr
  }

  // The queue's destructor waits until all is written. When nobody reads our stdout that never comes, so a thread of
  // its own waits for it, and is left behind.
  ~AsyncLog() override {
    std::promise<void> closed;
    auto when_closed = closed.get_future();
    std::thread closer([queue = std::move(queue_), closed = std::move(closed)]() mutable {
      queue.reset();
      closed.set_value();
    });
    if (when_closed.wait_for(kCloseTimeout) == std::future_status::ready) {
      closer.join();
    } else {
      closer.detach();
    }
  }

  bool enabled(LogLevel level) const override { return level >= level_; }

  void write(LogLevel level, const LogFields& fields, std::string_view message) override {
    if (!enabled(level)) return;
    const auto make_line = format_ == LogFormat::kJson ? json_log_line : text_log_line;
    logger_->log(spdlog::level::info, spdlog::string_view_t(make_line(level, fields, region_, message)));
  }

  std::uint64_t dropped() const override { return queue_->overrun_counter() + destination_->lost(); }

  void reopen() override {
    destination_->request_reopen();
    logger_->flush();  // wakes the log thread
  }

 private:
  const LogLevel level_;
  const LogFormat format_;
  const std::string region_;
  std::shared_ptr<Destination> destination_;
  std::shared_ptr<spdlog::details::thread_pool> queue_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "info" || name == "notice") return LogLevel::kInfo;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  if (name == "critical" || name == "alert" || name == "emergency") return LogLevel::kCritical;
  return std::nullopt;
}

Result<std::unique_ptr<Log>> Log::open(const LogConfig& config) {
  int fd = STDOUT_FILENO;
  if (!config.file.empty()) {
    fd = Destination::open_file(config.file);
    if (fd < 0) return fail("opening the log file " + config.file + ": " + std::strerror(errno));
  }
  auto destination = std::make_shared<Destination>(fd, config.file);
  try {
    return std::make_unique<AsyncLog>(config, std::move(destination));
  } catch (const std::exception& e) {  // no thread to be had
    return fail(std::string("starting the log: ") + e.what());
  }
}

}  // namespace rt
