#include "services/realtime/changes_desk.h"

#include <utility>

#include "services/realtime/fan_out.h"
#include "services/realtime/row_changes.h"
#include "services/realtime/shard.h"

namespace rt::realtime {

void ChangesDesk::subscribe(const LiveTenant& tenant, SocketId socket, const channels::FrameForm& form,
                            ChangesQuestion question) {
  if (is_silent_) return;
  const int worker = shard_.worker().index();
  receivers_.try_emplace(question.id.number, Receiver{&tenant, socket, form, question.topic});
  question.id.worker = static_cast<std::uint32_t>(worker);
  question.token = shard_.for_other_threads(tenant.external_id, question.token);
  Node& node = shard_.node();
  if (node.changes.subscribe) return node.changes.subscribe(tenant.external_id, std::move(question));
  tell_changes(node, question.id, {ChangesNotice::Status::kError, std::string(kNoDatabaseForChanges)});
}

void ChangesDesk::unsubscribe(const LiveTenant& tenant, std::uint64_t channel) {
  receivers_.erase(channel);
  const auto& unsubscribe = shard_.node().changes.unsubscribe;
  if (is_silent_ || !unsubscribe) return;
  unsubscribe(tenant.external_id, {static_cast<std::uint32_t>(shard_.worker().index()), channel});
}

void ChangesDesk::tell(std::uint64_t channel, const ChangesNotice& notice) {
  const auto found = receivers_.find(channel);
  if (found == receivers_.end()) return;
  shard_.on_changes_notice(found->second.socket, found->second.topic, channel, notice);
}

void ChangesDesk::deliver(const Broadcast& change, const std::shared_ptr<LiveTenant>& tenant,
                          std::span<const std::uint64_t> channels, std::size_t subscriptions) {
  FanOut out(shard_, change, channels.size());
  std::uint64_t deliveries = 0;
  for (const std::uint64_t channel : channels) {
    const auto found = receivers_.find(channel);
    // A tenant that was made anew under its old name shares nothing with who it was before.
    if (found == receivers_.end() || found->second.tenant != tenant.get()) continue;
    if (out.send(found->second.socket, found->second.form)) ++deliveries;
  }
  shard_.counters().change_deliveries.add(deliveries);
  if (deliveries > 0) shard_.count(tenant, kChangeRate, deliveries * subscriptions);
}

}  // namespace rt::realtime
