#include "services/realtime/row_changes.h"

#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "protocol/json/walker.h"
#include "services/realtime/shard.h"

namespace rt::realtime {
namespace {

// A turn may end between mails. One message is not divided: as of any fan-out, what goes to many is sent bit by bit.
constexpr std::size_t kDeliveriesPerMail = 256;

class ChangesMail final : public net::Mail {
 public:
  ChangesMail(Shard& shard, std::shared_ptr<LiveTenant> tenant) : shard_(shard), tenant_(std::move(tenant)) {}

  enum class Size : std::uint8_t { kIsRecorded, kIsNot };
  void begin(const std::shared_ptr<const Broadcast>& change, std::size_t subscriptions, Size size) {
    changes_.push_back({change, subscriptions, size, {}});
    bytes_ += sizeof(Change) + mail_bytes(*change);
  }
  bool is_at(const Broadcast& change) const { return !changes_.empty() && changes_.back().message.get() == &change; }
  void add(std::uint64_t channel) {
    changes_.back().channels.push_back(channel);
    bytes_ += sizeof channel;
    ++deliveries_;
  }
  bool is_full() const { return deliveries_ >= kDeliveriesPerMail; }
  std::size_t bytes() const { return bytes_; }
  Shard& shard() { return shard_; }

  void deliver() override {
    for (const Change& change : changes_) {
      if (change.size == Size::kIsRecorded) record_size(change.message->message().payload);
      shard_.changes().deliver(*change.message, tenant_, change.channels, change.subscriptions);
    }
  }

 private:
  struct Change {
    std::shared_ptr<const Broadcast> message;
    std::size_t subscriptions;
    Size size;
    std::vector<std::uint64_t> channels;
  };

  void record_size(std::string_view payload) {
    const auto walked = json::walk_value(payload);
    RT_DCHECK(walked);
    const auto size = static_cast<std::int64_t>(walked ? 1 + walked->term_size : payload.size());
    shard_.counters().changes.record(size);
    tenant_->usage(shard_.worker().index()).changes.record(size);
  }

  Shard& shard_;
  const std::shared_ptr<LiveTenant> tenant_;
  std::vector<Change> changes_;
  std::size_t bytes_ = 0;
  std::size_t deliveries_ = 0;
};

class NoticeMail final : public net::Mail {
 public:
  NoticeMail(Shard& shard, std::uint64_t channel, ChangesNotice notice)
      : shard_(shard), channel_(channel), notice_(std::move(notice)) {}
  void deliver() override { shard_.changes().tell(channel_, notice_); }

 private:
  Shard& shard_;
  const std::uint64_t channel_;
  const ChangesNotice notice_;
};

std::shared_ptr<const Broadcast> broadcast_of(const std::string& tenant, ChangeMessage& change) {
  return std::make_shared<const Broadcast>(Message{.tenant = tenant,
                                                   .topic = std::move(change.topic),
                                                   .kind = MessageKind::kRowChange,
                                                   .event = std::move(change.event),
                                                   .payload = std::move(change.payload),
                                                   .receipt = std::move(change.receipt)});
}

void post(std::unique_ptr<ChangesMail> mail) {
  const std::size_t bytes = mail->bytes();
  mail->shard().worker().post(std::move(mail), bytes);
}

Shard& shard_of(Node& node, ChangesId id) {
  RT_CHECK(id.worker < node.shards.size());
  return *node.shards[id.worker];
}

}  // namespace

void publish_changes(Node& node, ChangeBatch batch) {
  const std::shared_ptr<LiveTenant> tenant = node.tenants.known(batch.tenant);
  if (!tenant) return;
  std::vector<std::unique_ptr<ChangesMail>> mails(node.shards.size());  // that are being written, by worker
  for (ChangeMessage& change : batch.messages) {
    const auto broadcast = broadcast_of(batch.tenant, change);
    auto size = ChangesMail::Size::kIsRecorded;  // by one of the workers
    for (const ChangesId& id : change.to) {
      Shard& shard = shard_of(node, id);
      std::unique_ptr<ChangesMail>& mail = mails[id.worker];
      if (mail == nullptr) mail = std::make_unique<ChangesMail>(shard, tenant);
      if (!mail->is_at(*broadcast))
        mail->begin(broadcast, change.subscriptions, std::exchange(size, ChangesMail::Size::kIsNot));
      mail->add(id.number);
    }
    for (std::unique_ptr<ChangesMail>& mail : mails) {
      if (mail != nullptr && mail->is_full()) post(std::move(mail));
    }
  }
  for (std::unique_ptr<ChangesMail>& mail : mails) {
    if (mail != nullptr) post(std::move(mail));
  }
}

void tell_changes(Node& node, ChangesId id, ChangesNotice notice) {
  Shard& shard = shard_of(node, id);
  const std::size_t bytes = sizeof notice + notice.message.size();
  shard.worker().post(std::make_unique<NoticeMail>(shard, id.number, std::move(notice)), bytes);
}

bool changes_are_over_limit(Node& node, std::string_view tenant) {
  const std::shared_ptr<LiveTenant> live = node.tenants.known(tenant);
  return live != nullptr && live->changes.is_over();
}

}  // namespace rt::realtime
