#include "load/swarm.h"

namespace rt::load {

void Swarm::tick() {
  replace_lost();
  for (const auto& member : members_) {
    if (member && member->is_open()) act(*member, ticks_);
  }
  ++ticks_;
}

void Swarm::on_open(Client&) { count_ready(); }

void Swarm::on_closed(Client& client, std::string_view) { on_lost(client.id()); }

void Swarm::replace_lost() {
  std::size_t room = kConnectsPerTick;
  for (std::size_t id = 0; id < members_.size() && room > 0; ++id) {
    if (members_[id] && !members_[id]->is_closed()) continue;
    auto client = Client::connect(loop_, port_, handshake_, id, *this);
    if (!client) return loop_.fail_with(client.error().message);
    members_[id] = std::move(*client);
    --room;
  }
}

}  // namespace rt::load
