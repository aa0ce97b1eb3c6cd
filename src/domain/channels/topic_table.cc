#include "domain/channels/topic_table.h"

#include "base/check.h"

namespace rt::channels {

const Topic* TopicTable::find(const TopicKey& key, std::uint64_t hash) const {
  const auto found = topics_.find(Key{hash, key});
  return found == topics_.end() ? nullptr : found->second.get();
}

Topic& TopicTable::topic_for(const TopicKey& key) {
  const std::uint64_t hash = hash_of(hash_key_, key);
  if (const auto found = topics_.find(Key{hash, key}); found != topics_.end()) return *found->second;
  auto topic = std::make_unique<Topic>(Topic{std::string(key.tenant), key.privacy, std::string(key.topic), hash, {}});
  Topic& added = *topic;
  topics_.emplace(Key{hash, added.key()}, std::move(topic));
  interest_.begin(hash);
  return added;
}

void TopicTable::remove(Topic& topic) {
  interest_.end(topic.hash);
  const auto found = topics_.find(Key{topic.hash, topic.key()});
  RT_CHECK(found != topics_.end());
  topics_.erase(found);
}

Seat::Seat(TopicTable& table, const TopicKey& key, SocketId socket, const FrameForm& form)
    : table_(table), topic_(&table.topic_for(key)), index_(topic_->subscribers.size()) {
  const bool is_public = key.privacy == Privacy::kPublic;
  topic_->subscribers.push_back({.socket = socket,
                                 .form = form,
                                 .rights = is_public ? Rights::all() : Rights{},
                                 .presence_news = is_public ? PresenceNews::kShared : PresenceNews::kNot,
                                 .seat = this});
  ++table_.seats_;
}

Seat::~Seat() {
  auto& subscribers = topic_->subscribers;
  RT_CHECK(subscribers[index_].seat == this);
  subscribers[index_] = subscribers.back();
  subscribers[index_].seat->index_ = index_;
  subscribers.pop_back();
  --table_.seats_;
  if (subscribers.empty()) table_.remove(*topic_);
}

}  // namespace rt::channels
