#include "domain/presence/state.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "base/siphash.h"
#include "protocol/json/value.h"

namespace rt::presence {
namespace {

// The same on all nodes, so the key is no secret. The sum of the two numbers would do for one node only.
std::uint64_t hash_of(ReplicaId replica) { return siphash({replica.node, replica.incarnation}, "presence"); }

bool has_birth(const std::vector<PresenceBirth>& births, std::uint64_t clock) {
  return std::ranges::binary_search(births, clock, {}, &PresenceBirth::clock);
}

}  // namespace

PresenceState::PresenceState(ReplicaId self) : self_id_(self) {
  replica_up(self);
  self_ = find(self);
}

PresenceState::Tracked PresenceState::join(std::string_view topic, std::string_view key, PresencePayload payload) {
  const std::uint64_t clock = this->clock() + 1;
  Tracked tracked{.clock = clock, .diff = {}};
  insert(*self_, {clock, 0, std::string(topic), std::string(key), std::move(payload)}, tracked.diff);
  self_->dots.add(clock, clock);
  return tracked;
}

PresenceState::Tracked PresenceState::update(std::uint64_t clock, PresencePayload payload) {
  const auto old = self_->entries.find(clock);
  RT_CHECK(old != self_->entries.end());
  PresenceBirth birth = birth_of(*old);
  const std::uint64_t end = this->clock() + 1;
  birth.clock = end + 1;
  birth.replaces = clock;
  birth.payload = std::move(payload);
  Tracked tracked{.clock = birth.clock, .diff = {}};
  insert(*self_, std::move(birth), tracked.diff);  // first, so that the topic is never empty
  erase(*self_, old, tracked.diff);
  self_->dots.add(end, end + 1);
  return tracked;
}

PresenceDiff PresenceState::leave(std::uint64_t clock) {
  PresenceDiff diff;
  const auto entry = self_->entries.find(clock);
  if (entry == self_->entries.end()) return diff;
  erase(*self_, entry, diff);
  self_->dots.add(this->clock() + 1, this->clock() + 1);
  return diff;
}

PresenceDiff PresenceState::replica_up(ReplicaId id) {
  Replica& replica =
      replicas_.try_emplace(id, Replica{.hash = hash_of(id), .is_up = false, .dots = {}, .entries = {}}).first->second;
  PresenceDiff diff;
  if (std::exchange(replica.is_up, true)) return diff;
  for (const Item& item : replica.entries) note(item, &PresenceTopicDiff::joins, diff);
  return diff;
}

PresenceDiff PresenceState::replica_down(ReplicaId id) {
  PresenceDiff diff;
  Replica* const replica = find(id);
  if (replica == nullptr || replica == self_ || !replica->is_up) return diff;
  for (const Item& item : replica->entries) note(item, &PresenceTopicDiff::leaves, diff);
  replica->is_up = false;
  return diff;
}

PresenceDiff PresenceState::replica_forget(ReplicaId id) {
  PresenceDiff diff = replica_down(id);
  Replica* const replica = find(id);
  if (replica == nullptr || replica == self_) return diff;
  for (const auto& [clock, entry] : replica->entries) detach(entry);
  replicas_.erase(id);
  return diff;
}

const Dots* PresenceState::dots(ReplicaId id) const {
  const auto replica = replicas_.find(id);
  return replica == replicas_.end() ? nullptr : &replica->second.dots;
}

std::vector<PresenceDigest::Version> PresenceState::versions() const {
  std::vector<PresenceDigest::Version> versions;
  for (const auto& [id, replica] : replicas_)
    if (replica.dots.prefix() > 0) versions.push_back({id, replica.dots.prefix()});
  return versions;
}

PresenceDiff PresenceState::merge(const PresenceDelta& delta) {
  PresenceDiff diff;
  Replica* const replica = find(delta.sender);
  if (replica == nullptr || replica == self_) return diff;
  for (const std::uint64_t clock : delta.gone) {
    const auto entry = replica->entries.find(clock);
    if (entry != replica->entries.end()) erase(*replica, entry, diff);
    replica->dots.add(clock, clock);
  }
  retain(*replica, delta.from, delta.to, {}, delta.births, diff);
  return diff;
}

PresenceDiff PresenceState::merge(const PresenceChunk& chunk) {
  PresenceDiff diff;
  Replica* const replica = find(chunk.replica);
  if (replica == nullptr || replica == self_) return diff;
  retain(*replica, chunk.after, chunk.through, chunk.kept, chunk.births, diff);
  return diff;
}

std::size_t PresenceState::cloud_size_after(const PresenceDelta& delta) const {
  const Dots* const known = dots(delta.sender);
  if (known == nullptr) return 0;
  const auto is_new = [known](std::uint64_t clock) { return !known->contains(clock); };
  return known->cloud_size() + 1 + static_cast<std::size_t>(std::ranges::count_if(delta.gone, is_new));
}

// All that there is to know of the dots in (after, through].
void PresenceState::retain(Replica& replica, std::uint64_t after, std::uint64_t through,
                           std::span<const std::uint64_t> kept, const std::vector<PresenceBirth>& births,
                           PresenceDiff& diff) {
  for (auto entry = replica.entries.upper_bound(after); entry != replica.entries.end() && entry->first <= through;) {
    const bool is_alive = std::ranges::binary_search(kept, entry->first) || has_birth(births, entry->first);
    entry = is_alive ? std::next(entry) : erase(replica, entry, diff);
  }
  for (const PresenceBirth& birth : births)
    if (!replica.dots.contains(birth.clock)) insert(replica, birth, diff);
  replica.dots.add(after + 1, through);
}

std::vector<PresenceMeta> PresenceState::list(std::string_view topic) const {
  Place place;
  return list(topic, place, SIZE_MAX);
}

std::vector<PresenceMeta> PresenceState::list(std::string_view topic, Place& place, std::size_t count) const {
  std::vector<PresenceMeta> metas;
  const auto found = topics_.find(topic);
  if (found == topics_.end()) return metas;
  const auto& [name, version, bytes, members] = found->second;
  if (place.last_ == nullptr) place.version_ = version;
  RT_CHECK(place.version_ == version);  // else the last one may be gone
  auto next = place.last_ == nullptr ? members.begin() : std::next(Members::const_iterator(place.last_->second.member));
  for (; next != members.end() && metas.size() < count; ++next) {
    const Item& item = *next->second;
    if (!item.second.replica->is_up) continue;
    metas.push_back(meta_of(item));
    place.last_ = &item;
  }
  return metas;
}

bool PresenceState::contains(std::string_view topic, std::string_view key) const {
  const auto in = topics_.find(topic);
  if (in == topics_.end()) return false;
  const Members& members = in->second.members;
  auto member = members.lower_bound(key);
  while (member != members.end() && member->first == key && !member->second->second.replica->is_up) ++member;
  return member != members.end() && member->first == key;
}

std::size_t PresenceState::bytes(std::string_view topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? 0 : found->second.bytes;
}

// With the two refs and the punctuation.
std::size_t PresenceState::bytes_of(std::string_view key, std::size_t payload_size) {
  constexpr std::size_t kAroundMeta = 90;
  return kAroundMeta + json::quoted_size(key) + payload_size;
}

std::size_t PresenceState::bytes_of(std::uint64_t clock) const {
  const auto entry = self_->entries.find(clock);
  RT_CHECK(entry != self_->entries.end());
  return bytes_of(entry->second.member->first, entry->second.payload.size());
}

std::uint64_t PresenceState::version(std::string_view topic) const {
  const auto found = topics_.find(topic);
  return found == topics_.end() ? 0 : found->second.version;
}

std::size_t PresenceState::size() const {
  std::size_t size = 0;
  for (const auto& [id, replica] : replicas_) size += replica.entries.size();
  return size;
}

PresenceState::Replica* PresenceState::find(ReplicaId id) {
  const auto replica = replicas_.find(id);
  return replica == replicas_.end() ? nullptr : &replica->second;
}

PresenceState::Topic& PresenceState::topic_of(const std::string& name) {
  const auto [topic, is_new] = topics_.try_emplace(name);
  if (is_new) topic->second.name = &topic->first;
  return topic->second;
}

void PresenceState::insert(Replica& replica, PresenceBirth birth, PresenceDiff& diff) {
  Topic& topic = topic_of(birth.topic);
  const auto [item, is_new] = replica.entries.try_emplace(birth.clock, Entry{.replica = &replica,
                                                                             .topic = &topic,
                                                                             .member = {},
                                                                             .replaces = birth.replaces,
                                                                             .payload = std::move(birth.payload)});
  RT_CHECK(is_new);  // an entry without its dot: nobody may insert one
  Entry& entry = item->second;
  entry.member = topic.members.emplace(std::move(birth.key), &*item);
  topic.bytes += bytes_of(entry.member->first, entry.payload.size());
  note(*item, &PresenceTopicDiff::joins, diff);
}

PresenceState::Entries::iterator PresenceState::erase(Replica& replica, Entries::iterator entry, PresenceDiff& diff) {
  note(*entry, &PresenceTopicDiff::leaves, diff);
  detach(entry->second);
  return replica.entries.erase(entry);
}

// Takes it out of its topic, which goes with its last entry.
void PresenceState::detach(const Entry& entry) {
  Topic& topic = *entry.topic;
  topic.bytes -= bytes_of(entry.member->first, entry.payload.size());
  topic.members.erase(entry.member);
  if (topic.members.empty()) topics_.erase(topics_.find(*topic.name));
}

void PresenceState::note(const Item& item, std::vector<PresenceMeta> PresenceTopicDiff::* change, PresenceDiff& diff) {
  const Entry& entry = item.second;
  if (!entry.replica->is_up) return;
  entry.topic->version = ++changes_;
  (diff[*entry.topic->name].*change).push_back(meta_of(item));
}

PresenceMeta PresenceState::meta_of(const Item& item) {
  const auto& [clock, entry] = item;
  const std::uint64_t hash = entry.replica->hash;
  PresenceMeta meta{.key = entry.member->first, .ref = {hash, clock}, .ref_prev = {}, .payload = entry.payload};
  if (entry.replaces != 0) meta.ref_prev = {hash, entry.replaces};
  return meta;
}

PresenceBirth PresenceState::birth_of(const Item& item) {
  const auto& [clock, entry] = item;
  return {clock, entry.replaces, *entry.topic->name, entry.member->first, entry.payload};
}

}  // namespace rt::presence
