#include "services/realtime/long_polls.h"

#include <algorithm>
#include <list>
#include <utility>

#include "base/check.h"
#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

// Of one answer. More goes into the next.
constexpr std::size_t kBytesPerPoll = 256 * 1024;
// Of what one session has posted and that waits, e.g. behind a refused join. Clients post one after the other.
constexpr std::size_t kPostedBytesMax = 8'000'000;
constexpr std::size_t kPostsMax = 64;
// A client polls as soon as it has its session. Who only opens them has each for a moment.
constexpr std::chrono::milliseconds kFirstPollTimeout{5'000};
// A client that begins anew leaves its old session behind for a while.
constexpr std::int64_t kSessionsPerUser = 2;

struct Post {
  PostedFrames frames;
  LongPolls::Answer answer;
};

}  // namespace

struct LongPolls::Client {
  Client(LongPolls& owner, net::ConnectionId name, std::string text, std::shared_ptr<LiveTenant> of)
      : polls(owner), id(name), token(std::move(text)), tenant(std::move(of)), queue(owner.queue_bytes_) {}
  ~Client() { polls.posted_bytes_ -= posted_bytes; }

  static void on_due(void* self) {
    auto& client = *static_cast<Client*>(self);
    client.polls.on_due(client);
  }
  // Nobody needs to know of it any more.
  bool is_over() const { return phase == Phase::kEnded && queue.is_empty(); }

  enum class Phase : std::uint8_t {
    kOpen,
    kEnding,  // its session is to be destroyed
    kEnded,   // there is no session any more, but the client may ask for what it was told at last
  };

  LongPolls& polls;
  const net::ConnectionId id;
  const std::string token;
  const std::shared_ptr<LiveTenant> tenant;
  Phase phase = Phase::kOpen;
  bool is_called = false;
  bool is_paused = false;  // by its session
  PollQueue queue;
  Answer poll;            // the one that waits, if any
  Asker asker;            // whose it is
  std::list<Post> posts;  // in the order they came; the first may be half done
  std::size_t posted_bytes = 0;
  Deadline due{on_due, this};  // with a poll: to be answered; without: nobody asks any more
  std::unique_ptr<Session> session;
};

// What one mail does: a fraction of a turn. A worker delivers mail until its turn is over.
struct LongPolls::Share {
  std::size_t clients = 16;
  std::size_t frames = 32;              // of clients, and ends of what they posted
  std::size_t frame_bytes = 64 * 1024;  // but a whole frame at least
  std::size_t bytes = 256 * 1024;       // of answers

  bool has_frames() const { return frames > 0 && frame_bytes > 0; }
  bool is_used_up() const { return clients == 0 || !has_frames() || bytes == 0; }
};

struct LongPolls::AttendMail final : public net::Mail {
  explicit AttendMail(LongPolls& owner) : polls(owner) {}
  void deliver() override { polls.attend(); }

  LongPolls& polls;
};

LongPolls::LongPolls(Shard& shard)
    : shard_(shard),
      window_(shard.node().config.long_poll.window),
      lifetime_(window_ * 3 / 2),
      clients_(0, TokenHash{shard.node().hash_key}) {}

LongPolls::~LongPolls() = default;

Result<void> LongPolls::open(SessionStart start, const Answer& answer) {
  Node& node = shard_.node();
  const std::int64_t tenant_max =
      kSessionsPerUser * start.tenant->record(shard_.worker().index()).limits.concurrent_users_max;
  const std::int64_t own = start.tenant->long_polls.load();
  if (own >= tenant_max) return fail("Too many connected users");
  // A tenant has no more than it leaves to the others.
  if (own >= node.config.long_poll.sessions_max - node.long_polls.load())
    return fail("Too many long-poll sessions on this server");

  const net::ConnectionId id = take_slot();
  auto added =
      std::make_unique<Client>(*this, id, LongPollToken::make(shard_.worker().index(), node.random), start.tenant);
  Client& client = *added;
  slots_[id.slot & ~kLongPollSlot].client = std::move(added);
  clients_.emplace(client.token, &client);
  node.long_polls.fetch_add(1);
  client.tenant->long_polls.fetch_add(1);
  shard_.counters().long_polls.add();
  start.serial = shard_.take_serial();
  client.session = std::make_unique<Session>(shard_, id, std::move(start));
  client.due.set(shard_.worker().wheel(), shard_.worker().now() + std::min(lifetime_, kFirstPollTimeout));
  answer(opened_answer(client.token));
  return {};
}

net::ConnectionId LongPolls::take_slot() {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return {slot | kLongPollSlot, slots_[slot].generation};
}

bool LongPolls::poll(std::string_view token, const LiveTenant* tenant, const Asker& asker, Answer& answer) {
  Client* found = client(token, tenant);
  if (found == nullptr) return false;
  const Answer older = std::exchange(found->poll, std::move(answer));
  found->asker = asker;
  found->due.set(shard_.worker().wheel(), shard_.worker().now() + window_);
  if (!found->queue.is_empty()) call(*found);
  if (older) older(no_messages_answer(std::string(token)));
  return true;
}

// As if it had never asked: the session lives on for whoever comes back in time.
void LongPolls::forget(std::string_view token, const Asker& asker) {
  const auto found = clients_.find(token);
  if (found == clients_.end()) return;
  Client& client = *found->second;
  if (!client.poll || client.asker != asker) return;
  client.poll = nullptr;
  client.due.set(shard_.worker().wheel(), shard_.worker().now() + lifetime_);
  shard_.counters().long_polls_forgotten.add();
}

void LongPolls::post(std::string_view token, const LiveTenant* tenant, PostedFrames frames, const Answer& answer) {
  Client* found = client(token, tenant);
  if (found == nullptr || found->phase != Client::Phase::kOpen) return answer(gone_answer());
  if (const auto fault = frames.fault()) {
    shard_.counters().long_poll_posts_too_large.add();
    return answer(refused_answer(413, 413, *fault));
  }
  const std::size_t bytes = sizeof(Post) + frames.bytes();
  if (!has_room(*found, bytes)) {
    shard_.counters().long_poll_posts_over_limit.add();
    return answer(refused_answer(429, 429, "what was posted before is not worked off yet: wait for its answers"));
  }
  found->posted_bytes += bytes;
  posted_bytes_ += bytes;
  found->posts.push_back({std::move(frames), answer});
  call(*found);
}

// What nothing waits before is taken however large.
bool LongPolls::has_room(const Client& client, std::size_t bytes) const {
  const auto fits = [bytes](std::size_t waiting, std::size_t max) { return waiting == 0 || waiting + bytes <= max; };
  return client.posts.size() < kPostsMax && fits(client.posted_bytes, kPostedBytesMax) &&
         fits(posted_bytes_, shard_.node().config.long_poll.posted_bytes_max);
}

void LongPolls::send(net::ConnectionId id, const net::FrameRef& message) {
  Client* found = client(id);
  if (found == nullptr || found->phase != Client::Phase::kOpen) return;
  found->queue.push(message);
  const LongPollConfig& config = shard_.node().config.long_poll;
  // A single message makes nobody slow, however large.
  if (found->queue.bytes() > config.queue_bytes_max && found->queue.size() > 1) {
    shard_.counters().long_polls_slow.add();
    slow_consumer(*found);
  } else if (queue_bytes() > config.all_queues_bytes_max) {
    relieve_queues();
  }
  if (found->poll) call(*found);
}

void LongPolls::slow_consumer(Client& client) {
  shard_.counters().long_poll_frames_dropped.add(client.queue.discard());
  if (client.phase == Client::Phase::kOpen) client.phase = Client::Phase::kEnding;
  call(client);
}

// Whoever holds most goes first, until there is room for a while.
void LongPolls::relieve_queues() {
  std::vector<Client*> holders;
  for (const Slot& slot : slots_) {
    if (slot.client && !slot.client->queue.is_empty()) holders.push_back(slot.client.get());
  }
  std::ranges::sort(holders, std::greater(), [](const Client* client) { return client->queue.bytes(); });
  const std::size_t goal = shard_.node().config.long_poll.all_queues_bytes_max / 16 * 15;
  for (Client* holder : holders) {
    if (queue_bytes() <= goal) return;
    shard_.counters().long_polls_over_worker_cap.add();
    slow_consumer(*holder);
  }
}

void LongPolls::close(net::ConnectionId id) {
  Client* found = client(id);
  if (found == nullptr || found->phase != Client::Phase::kOpen) return;
  found->phase = Client::Phase::kEnding;
  call(*found);
}

void LongPolls::cut(net::ConnectionId id) {
  if (Client* found = client(id)) shard_.counters().long_poll_frames_unfetched.add(found->queue.discard());
  close(id);
}

void LongPolls::go_on(net::ConnectionId id) {
  Client* found = client(id);
  if (found == nullptr || !std::exchange(found->is_paused, false)) return;
  call(*found);
}

Session* LongPolls::find(net::ConnectionId id) {
  Client* found = client(id);
  return found != nullptr && found->phase == Client::Phase::kOpen ? found->session.get() : nullptr;
}

Session* LongPolls::session_in(std::size_t slot) {
  Client* found = slots_[slot].client.get();
  return found != nullptr && found->phase == Client::Phase::kOpen ? found->session.get() : nullptr;
}

LongPolls::Client* LongPolls::client(net::ConnectionId id) {
  const std::uint32_t slot = id.slot & ~kLongPollSlot;
  return slot < slots_.size() && slots_[slot].generation == id.generation ? slots_[slot].client.get() : nullptr;
}

// A token is good only where it was given: at the host of its tenant.
LongPolls::Client* LongPolls::client(std::string_view token, const LiveTenant* tenant) {
  const auto found = clients_.find(token);
  return found != clients_.end() && found->second->tenant.get() == tenant ? found->second : nullptr;
}

void LongPolls::call(Client& client) {
  if (std::exchange(client.is_called, true)) return;
  called_.push_back(client.id);
  send_mail();
}

void LongPolls::send_mail() {
  if (called_.empty() || std::exchange(mail_is_on_its_way_, true)) return;
  shard_.worker().post(std::make_unique<AttendMail>(*this));
}

void LongPolls::attend() {
  mail_is_on_its_way_ = false;
  Share left;
  left.clients = std::min(left.clients, called_.size());
  for (; !left.is_used_up(); --left.clients) {
    const net::ConnectionId id = called_.front();
    called_.pop_front();
    if (Client* called = client(id)) attend(*called, left);
  }
  shard_.update_gauges();
  send_mail();
}

void LongPolls::attend(Client& client, Share& left) {
  using Phase = Client::Phase;
  client.is_called = false;
  work(client, left);
  if (client.phase == Phase::kEnding) end_session(client);
  if (client.phase == Phase::kOpen && !client.is_paused && !client.posts.empty()) call(client);
  if (client.poll && !client.queue.is_empty()) {
    left.bytes -= std::min(left.bytes, client.queue.bytes());
    return hand_out(client);
  }
  if (client.is_over()) remove(client);
}

void LongPolls::work(Client& client, Share& left) {
  const Clock& clock = shard_.worker().clock();
  const Time began = clock.now();
  while (client.phase == Client::Phase::kOpen && !client.is_paused && !client.posts.empty() && left.has_frames()) {
    --left.frames;
    Post& post = client.posts.front();
    std::string decoded;
    if (const auto frame = post.frames.next(decoded)) {
      left.frame_bytes -= std::min(left.frame_bytes, frame->bytes.size());
      client.is_paused = client.session->on_message(frame->opcode, frame->bytes) == net::Reading::kPause;
      continue;
    }
    const std::size_t bytes = sizeof(Post) + post.frames.bytes();
    client.posted_bytes -= bytes;
    posted_bytes_ -= bytes;
    const Answer answer = std::move(post.answer);
    client.posts.pop_front();
    answer(posted_answer());
  }
  shard_.on_heard(clock.now() - began);
}

void LongPolls::end_session(Client& client) {
  client.session.reset();
  client.phase = Client::Phase::kEnded;
  client.due.set(shard_.worker().wheel(), shard_.worker().now() + lifetime_);
  posted_bytes_ -= std::exchange(client.posted_bytes, 0);
  for (const Post& post : std::exchange(client.posts, {})) post.answer(gone_answer());
}

void LongPolls::hand_out(Client& client) {
  const Answer answer = std::exchange(client.poll, nullptr);
  http::Response response = messages_answer(client.token, client.queue.take(kBytesPerPoll));
  client.due.set(shard_.worker().wheel(), shard_.worker().now() + lifetime_);
  if (client.is_over()) remove(client);
  answer(std::move(response));
}

void LongPolls::on_due(Client& client) {
  if (!client.poll) {
    remove(client);
    return shard_.update_gauges();
  }
  if (!client.queue.is_empty()) return hand_out(client);
  const Answer answer = std::exchange(client.poll, nullptr);
  client.due.set(shard_.worker().wheel(), shard_.worker().now() + lifetime_);
  answer(no_messages_answer(client.token));
}

void LongPolls::remove(Client& client) {
  shard_.counters().long_poll_frames_unfetched.add(client.queue.discard());
  Slot& slot = slots_[client.id.slot & ~kLongPollSlot];
  const std::unique_ptr<Client> removed = std::move(slot.client);
  // 0 names no session, and what waits with this name may wait for long: no name comes back soon.
  if (++slot.generation == 0) slot.generation = 1;
  free_slots_.push_back(client.id.slot & ~kLongPollSlot);
  clients_.erase(client.token);
  shard_.node().long_polls.fetch_sub(1);
  client.tenant->long_polls.fetch_sub(1);
  shard_.counters().long_polls.subtract();
  removed->session.reset();
  if (removed->poll) removed->poll(gone_answer());
  for (const Post& post : removed->posts) post.answer(gone_answer());
}

}  // namespace rt::realtime
