// A line is built whole on the thread that logs it; spdlog's queue carries it to one thread that calls write(2). Nothing is
// buffered behind that, so what was written is out even when the process ends by _exit.
//
// Texts of clients end up in lines. Line breaks, control characters and invalid UTF-8 are escaped in both formats, and long
// texts are cut, so that nobody can forge a line, confuse a terminal or fill the memory with the queue.
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <future>
#include <thread>

#include "base/utf8.h"

namespace rt {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTextBytesMax = 4096;  // of a message or field; the rest is cut off
constexpr auto kCloseTimeout = 1s;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
    case LogLevel::kCritical: return "critical";
  }
  return "?";
}

// kPlain: a message of the text format, where quotes and backslashes stay as they are.
enum class Escaping { kPlain, kQuoted, kJson };

// The character at the beginning of `text`; empty when it is not valid UTF-8.
std::string_view first_character(std::string_view text) {
  Utf8Validator validator;
  for (std::size_t length = 1; length <= text.size() && validator.feed(text.substr(length - 1, 1)); ++length) {
    if (validator.complete()) return text.substr(0, length);
  }
  return {};
}

// The code point of a character that could end a line or steer a terminal (C0, DEL, C1, U+2028, U+2029), else 0xffff.
unsigned control_code(std::string_view character) {
  constexpr unsigned kPrintable = 0xffff;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f ? byte(0) : kPrintable;
  if (character.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0 ? byte(1) : kPrintable;
  if (character == "\xe2\x80\xa8") return 0x2028;
  if (character == "\xe2\x80\xa9") return 0x2029;
  return kPrintable;
}

void append_hex(std::string& out, const char* format, unsigned value) {
  char text[8];
  std::snprintf(text, sizeof text, format, value);
  out += text;
}

void append_character(std::string& out, std::string_view character, Escaping escaping) {
  const unsigned control = control_code(character);
  if (control == '\n') {
    out += "\\n";
  } else if (control != 0xffff) {
    append_hex(out, "\\u%04x", control);
  } else {
    if (escaping != Escaping::kPlain && (character == "\"" || character == "\\")) out += '\\';
    out += character;
  }
}

void append_escaped(std::string& out, std::string_view text, Escaping escaping) {
  for (std::size_t at = 0; at < text.size();) {
    if (at >= kTextBytesMax) {
      out += "...";
      return;
    }
    const std::string_view character = first_character(text.substr(at));
    if (!character.empty()) {
      append_character(out, character, escaping);
      at += character.size();
      continue;
    }
    if (escaping == Escaping::kJson) {
      out += "\\ufffd";
    } else {
      append_hex(out, "\\x%02x", static_cast<unsigned char>(text[at]));
    }
    ++at;
  }
}

void append_time(std::string& out) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto second = std::chrono::floor<std::chrono::seconds>(now);
  const std::time_t unix_time = std::chrono::system_clock::to_time_t(second);
  std::tm utc{};
  gmtime_r(&unix_time, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>((now - second).count()));
  out += text;
}

void append_text_field(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  line.append(" ").append(name) += '=';
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f && !std::strchr("\"\\[]", c); };
  if (std::all_of(value.begin(), value.end(), is_plain)) {
    append_escaped(line, value, Escaping::kPlain);
    return;
  }
  line += '"';
  append_escaped(line, value, Escaping::kQuoted);
  line += '"';
}

void append_json_field(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  line.append(",\"").append(name) += "\":\"";
  append_escaped(line, value, Escaping::kJson);
  line += '"';
}

template <class Append>
void append_fields(std::string& line, const LogFields& fields, std::string_view region, Append append) {
  append(line, "request_id", fields.request_id);
  append(line, "project", fields.tenant);
  append(line, "external_id", fields.tenant);
  append(line, "error_code", fields.error_code);
  append(line, "topic", fields.topic);
  append(line, "region", region);
}

std::string text_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message) {
  std::string line;
  append_time(line);
  append_fields(line, fields, region, append_text_field);
  line.append(" [").append(name_of(level)) += "] ";
  append_escaped(line, message, Escaping::kPlain);
  line += '\n';
  return line;
}

std::string json_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message) {
  std::string line = "{\"time\":\"";
  append_time(line);
  line.append("\",\"level\":\"").append(name_of(level)) += '"';
  append_fields(line, fields, region, append_json_field);
  line += ",\"message\":\"";
  append_escaped(line, message, Escaping::kJson);
  line += "\"}\n";
  return line;
}

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
    logger_ = std::make_shared<spdlog::async_logger>("", destination_, queue_,
                                                     spdlog::async_overflow_policy::overrun_oldest);
    logger_->set_error_handler([](const std::string&) {});  // spdlog's own prints to stderr
  }

  // The queue's destructor waits until all is written. When nobody reads our stdout that never comes, so a thread of its own
  // waits for it, and is left behind.
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
    const auto make_line = format_ == LogFormat::kJson ? json_line : text_line;
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
