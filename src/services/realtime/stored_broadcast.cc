#include "services/realtime/stored_broadcast.h"

#include <atomic>
#include <memory>
#include <utility>

#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

enum class Counts : std::uint8_t { kAsPublished, kDeliveriesOnly };

class StoredMail final : public net::Mail {
 public:
  StoredMail(Shard& shard, std::shared_ptr<const Broadcast> broadcast, std::shared_ptr<LiveTenant> tenant,
             Counts counts)
      : shard_(shard), broadcast_(std::move(broadcast)), tenant_(std::move(tenant)), counts_(counts) {}
  void deliver() override {
    if (counts_ == Counts::kAsPublished) {
      shard_.note_published(broadcast_->message(), *tenant_);
      shard_.count(tenant_, kEventRate, 1);
    }
    shard_.deliver(*broadcast_, tenant_, SocketId{0});
  }

 private:
  Shard& shard_;
  const std::shared_ptr<const Broadcast> broadcast_;
  const std::shared_ptr<LiveTenant> tenant_;
  const Counts counts_;
};

// The last of them to be delivered says so. Those that never are say nothing.
class CaughtUpMail final : public net::Mail {
 public:
  struct Awaited {
    std::function<void()> then;
    std::atomic<std::size_t> workers;
  };
  explicit CaughtUpMail(std::shared_ptr<Awaited> awaited) : awaited_(std::move(awaited)) {}
  void deliver() override {
    if (awaited_->workers.fetch_sub(1) == 1) awaited_->then();
  }

 private:
  const std::shared_ptr<Awaited> awaited_;
};

bool keeps_up(Shard& shard) { return shard.worker().mailbox_bytes() <= net::Mailbox::kHighWaterBytes; }

Message message_of(const Node& node, StoredBroadcast row) {
  Message message{.tenant = std::move(row.tenant),
                  .privacy = row.privacy,
                  .topic = std::string(kTopicPrefix) + row.topic,
                  .kind = row.kind == StoredBroadcast::Kind::kJson ? MessageKind::kUserJson : MessageKind::kUserBinary,
                  .event = std::move(row.event),
                  .payload = std::move(row.payload),
                  .id = std::move(row.id),
                  .joined_before = row.joined_before,
                  .receipt = std::move(row.receipt)};
  message.topic_hash = hash_of(node.hash_key, message.key());
  message.payload_size = message.payload.size() + kStoredOverhead;
  return message;
}

}  // namespace

void publish_stored(Node& node, StoredBroadcast row) {
  std::shared_ptr<LiveTenant> tenant = node.tenants.known(row.tenant);
  if (!tenant) return;
  const auto broadcast = std::make_shared<const Broadcast>(message_of(node, std::move(row)));
  const std::uint64_t interested = node.interest.workers(broadcast->message().topic_hash);
  // A row counts also where nobody wants it.
  const std::uint64_t workers = interested == 0 ? 1 : interested;
  Counts counts = Counts::kAsPublished;
  for (std::size_t i = 0; i < node.shards.size(); ++i) {
    if ((workers >> i & 1) == 0) continue;
    Shard& shard = *node.shards[i];
    shard.worker().post(
        std::make_unique<StoredMail>(shard, broadcast, tenant, std::exchange(counts, Counts::kDeliveriesOnly)),
        mail_bytes(*broadcast));
  }
}

bool events_are_over_limit(Node& node, std::string_view tenant) {
  const std::shared_ptr<LiveTenant> live = node.tenants.known(tenant);
  return live != nullptr && live->events.is_over();
}

bool may_publish(const Node& node) {
  for (Shard* shard : node.shards) {
    if (!keeps_up(*shard)) return false;
  }
  return true;
}

void when_may_publish(Node& node, std::function<void()> then) {
  std::vector<Shard*> late;
  for (Shard* shard : node.shards) {
    if (!keeps_up(*shard)) late.push_back(shard);
  }
  if (late.empty()) return then();
  const auto awaited = std::make_shared<CaughtUpMail::Awaited>(std::move(then), late.size());
  for (Shard* shard : late) shard->worker().post(std::make_unique<CaughtUpMail>(awaited));
}

}  // namespace rt::realtime
