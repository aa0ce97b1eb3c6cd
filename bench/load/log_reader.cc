#include "load/log_reader.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <new>
#include <string_view>
#include <thread>

#include "base/check.h"
#include "load/interrupt.h"
#include "load/sql_session.h"

namespace rt::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::chrono::milliseconds kPollInterval{1};

// Manual, 55.4: 'w' is followed by three numbers of 8 bytes, then by a message of the output plugin; 'k' by a position
// and a time of 8 bytes each, then by whether an answer is wanted.
constexpr std::size_t kBeforeMessage = 1 + 3 * 8;
constexpr std::size_t kKeepAliveBytes = 1 + 2 * 8 + 1;

// That all until `position` was received, written and applied.
std::string status_of(std::string_view position) {
  std::string out = "r";
  for (int i = 0; i < 3; ++i) out += position;
  return out.append(8, '\0').append(1, '\0');
}

}  // namespace

struct LogReader::Shared {
  std::atomic<bool> is_streaming{false};
  std::atomic<std::uint64_t> rows{0};
};

LogReader::LogReader()
    : shared_([] {
        void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        RT_CHECK(memory != MAP_FAILED);
        return new (memory) Shared();
      }()) {}

LogReader::~LogReader() {
  child_.reset();
  munmap(shared_, sizeof(Shared));
}

Result<std::unique_ptr<LogReader>> LogReader::start(const Cores& cores, const std::string& connection_string,
                                                    const std::string& publication) {
  std::unique_ptr<LogReader> reader(new LogReader());
  Shared& shared = *reader->shared_;
  const auto read = [&]() -> Result<void> {
    auto session = SqlSession::connect(connection_string + " replication=database");
    if (!session) return tl::make_unexpected(session.error());
    if (const auto made = session->run("CREATE_REPLICATION_SLOT bench TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT");
        !made)
      return made;
    if (const auto begun = session->run("START_REPLICATION SLOT bench LOGICAL 0/0 (proto_version '1', "
                                        "publication_names '" +
                                        publication + "')");
        !begun)
      return begun;
    shared.is_streaming = true;
    return session->read_stream([&](std::string_view message) {
      if (message.size() > kBeforeMessage && message[0] == 'w' && message[kBeforeMessage] == 'I')
        shared.rows.fetch_add(1, std::memory_order_relaxed);
      if (message.size() == kKeepAliveBytes && message[0] == 'k' && message.back() != '\0' &&
          !session->send_to_stream(status_of(message.substr(1, 8))))
        _exit(1);
    });
  };
  auto child = Child::fork(cores, [&] {
    const auto ended = read();
    std::fprintf(stderr, "the reader of the log: %s\n", ended.error().message.c_str());
  });
  if (!child) return tl::make_unexpected(child.error());
  reader->child_ = std::move(*child);
  const auto streams = [](const Shared& is, std::uint64_t) { return is.is_streaming.load(); };
  if (const auto ok = reader->wait_until(streams, 0, "to begin"); !ok) return tl::make_unexpected(ok.error());
  return reader;
}

Result<void> LogReader::wait_for(std::uint64_t rows) {
  return wait_until([](const Shared& is, std::uint64_t wanted) { return is.rows >= wanted; }, rows, "to read");
}

Result<void> LogReader::wait_until(bool (*is_so)(const Shared&, std::uint64_t), std::uint64_t rows, const char* what) {
  for (const auto since = Clock::now(); !is_so(*shared_, rows); std::this_thread::sleep_for(kPollInterval)) {
    if (child_->has_ended()) return fail("the reader of the log has ended");
    if (const auto go_on = not_interrupted(); !go_on) return go_on;
    if (Clock::now() - since > kTimeout) return fail(std::string("waited too long for the reader of the log ") + what);
  }
  return {};
}

}  // namespace rt::load
