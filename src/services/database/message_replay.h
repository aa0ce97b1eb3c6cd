// Old messages of one tenant, read from realtime.messages for those who join a private channel and want them.
//
// They come from the pool that policies are asked over, and go behind these: a replay begins only while no question to
// the policies waits for its turn. Nothing is remembered, and one who waits too long is told so.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/counter.h"
#include "base/histogram.h"
#include "io/postgres/event.h"
#include "io/postgres/pool.h"
#include "io/postgres/task_group.h"
#include "model/replay.h"
#include "services/database/replay_room.h"

namespace rt::database {

struct MessageReplayConfig {
  std::size_t queries_max = 1;                    // under way
  std::chrono::milliseconds timeout{5'000};       // of the query
  std::chrono::milliseconds queue_target{5'000};  // who has waited longer for the turn is refused
  std::size_t waiting_max = 10'000;               // more are refused
  std::size_t waiting_bytes_max = std::size_t{64} << 20;
};

// Milliseconds from a question to its answer.
inline constexpr std::array<std::int64_t, 4> kReplayBounds{10, 250, 5'000, 15'000};
using ReplayTimes = Histogram<kReplayBounds>;

// Written by the thread of the databases, read by anyone.
struct ReplayCounters {
  Counter refused;   // because too many wait
  Counter given_up;  // waited too long
};

class MessageReplay {  // loop-bound
 public:
  // All references outlive it. While `has_turn` says no, nothing is begun.
  MessageReplay(boost::asio::io_context& io, postgres::Pool& pool, const MessageReplayConfig& config,
                std::shared_ptr<ReplayRoom> room, const Clock& clock, ReplayCounters& counters, ReplayTimes& times,
                std::function<bool()> has_turn);
  ~MessageReplay();
  MessageReplay(const MessageReplay&) = delete;
  MessageReplay& operator=(const MessageReplay&) = delete;

  // `answer` is called once, in this call or later.
  void ask(ReplayQuestion question, AnswerReplay answer);
  // It may have its turn now.
  void serve();

  // Answers all who wait, and takes no more questions. What is under way is answered by the pool, at the latest when it
  // stops.
  void close();
  postgres::Task<void> drained();

  bool is_idle() const { return running_ == 0 && waiting_.empty(); }

 private:
  struct Waiting {
    ReplayQuestion question;
    AnswerReplay answer;
    Time since;
  };

  bool may_begin() const { return !is_closed_ && !waiting_.empty() && has_turn_(); }
  Waiting take_first();
  postgres::Task<void> work();
  postgres::Task<ReplayAnswer> replay(const ReplayQuestion& question, Time since);
  postgres::Task<void> give_up_late();

  boost::asio::io_context& io_;
  postgres::Pool& pool_;
  const MessageReplayConfig config_;
  const std::shared_ptr<ReplayRoom> room_;
  const Clock& clock_;
  ReplayCounters& counters_;
  ReplayTimes& times_;
  const std::function<bool()> has_turn_;

  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::size_t running_ = 0;
  bool is_closed_ = false;
  bool is_watched_ = false;
  postgres::Event closed_;
  postgres::TaskGroup group_;
};

}  // namespace rt::database
