// Row changes of a channel: what it asks the tenant's database for, and what its client hears of that
// (protocol.md 7.5).
//
// The changes themselves never come by here: they go from the database to the connections.

#include <utility>

#include "domain/channels/channel_set.h"
#include "protocol/json/value.h"

namespace rt::channels {

// A join of the old API always asks for some.
std::unique_ptr<ChannelChanges> ChannelSet::wanted_changes(const JoinRequest& request, std::string_view sub_topic) {
  if (request.has_config && request.change_entries.empty()) return nullptr;
  auto changes = std::make_unique<ChannelChanges>();
  if (request.has_config) {
    changes->entries = with_ids(request.change_entries);
  } else {
    const std::string implicit = implicit_change_entry(sub_topic);
    changes->form = ChangeForm::kBare;
    changes->entries = with_ids({implicit});
  }
  return changes;
}

void ChannelSet::subscribe_to_changes(Channel& channel) {
  ChannelChanges& changes = *channel.changes;
  if (changes.id == 0) changes.id = host_.take_changes_id();
  host_.subscribe_to_changes({.id = {.number = changes.id},
                              .topic = channel.topic(),
                              .form = changes.form,
                              .entries = changes.entries,
                              .token = channel.token});
}

// The old token holds until the database has taken the new one. A client may send tokens as fast as it likes: of those
// that come too soon the last one counts.
void ChannelSet::renew_changes(Channel& channel) {
  if (channel.changes == nullptr) return;
  ChannelChanges& changes = *channel.changes;
  if (host_.now() < changes.renewable_at) {
    changes.renew_at = changes.renewable_at;
    return wait(channel);
  }
  changes.renew_at.reset();
  changes.renewable_at = host_.now() + host_.rules().changes_renewal_interval;
  subscribe_to_changes(channel);
}

void ChannelSet::unsubscribe_from_changes(const Channel& channel) {
  if (channel.changes->id != 0) host_.unsubscribe_from_changes(channel.changes->id);
}

void ChannelSet::on_changes_notice(std::string_view topic, std::uint64_t id, const ChangesNotice& notice,
                                   Actions& out) {
  const Channel* const channel = find(topic);
  if (channel == nullptr || channel->changes == nullptr || channel->changes->id != id) return;
  const bool is_ok = notice.status == ChangesNotice::Status::kOk;
  if (!is_ok) {
    out.push_back(LogLine{LogLevel::kWarning, "RealtimeDisabledForConfiguration", channel->topic(), notice.message,
                          channel->token});
  }
  std::string payload = R"({"extension":"postgres_changes","status":)";
  payload.append(is_ok ? R"("ok")" : R"("error")").append(R"(,"message":)").append(json::quoted(notice.message));
  payload.append(R"(,"channel":)").append(json::quoted(channel->sub_topic())).append("}");
  send({.join_ref = channel->join_ref, .topic = channel->topic(), .event = "system", .payload = payload}, out);
}

}  // namespace rt::channels
