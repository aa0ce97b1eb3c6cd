#include "load/attack_process.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <string>

namespace rt::load {
namespace {

constexpr std::chrono::milliseconds kTick{10};
constexpr int kLowestPriority = 19;

}  // namespace

struct AttackProcess::Shared {
  std::atomic<bool> is_in_position{false};
  std::atomic<std::uint64_t> deeds{0};
  char last_word[256] = {};

  void run(const AttackKind& kind, const Target& target) {
    setpriority(PRIO_PROCESS, 0, kLowestPriority);
    const auto loop = ClientLoop::create();
    if (!loop) return say(loop.error().message);
    const auto attack = kind.make(**loop, target);
    for (auto next = std::chrono::steady_clock::now();; next += kTick) {
      attack->tick();
      is_in_position.store(attack->is_in_position(), std::memory_order_relaxed);
      deeds.store(attack->deeds(), std::memory_order_relaxed);
      if (const auto ran = (*loop)->run_to(next + kTick); !ran) return say(ran.error().message);
    }
  }

  void say(const std::string& why) { std::strncpy(last_word, why.c_str(), sizeof(last_word) - 1); }
};

Result<std::unique_ptr<AttackProcess>> AttackProcess::start(const AttackKind& kind, const Target& target,
                                                            const Cores& cores) {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(std::string("cannot share memory: ") + std::strerror(errno));
  std::unique_ptr<AttackProcess> process(new AttackProcess(new (memory) Shared));
  auto child = Child::fork(cores, [&] { process->shared_->run(kind, target); });
  if (!child) return tl::make_unexpected(child.error());
  process->child_ = std::move(*child);
  return process;
}

AttackProcess::~AttackProcess() {
  child_.reset();
  munmap(shared_, sizeof(Shared));
}

bool AttackProcess::is_in_position() const { return shared_->is_in_position.load(std::memory_order_relaxed); }

std::uint64_t AttackProcess::deeds() const { return shared_->deeds.load(std::memory_order_relaxed); }

Result<void> AttackProcess::check_alive() {
  if (!child_->has_ended()) return {};
  return fail("the attackers ended: " + std::string(shared_->last_word));
}

}  // namespace rt::load
