// Where rows of the database become broadcasts: the door through which the message feeds of tenants reach the workers.
//
// A feed runs on the thread of the databases. It asks first whether the tenant may have more events and whether the
// workers keep up, and then publishes; what it publishes one after the other reaches each socket in that order.
// Everything here may be called from any thread, once all shards of the node are there.
#pragma once

#include <functional>
#include <string_view>

#include "model/stored_broadcast.h"
#include "services/realtime/node.h"

namespace rt::realtime {

// What a payload measures besides its bytes, where its limit is concerned.
inline constexpr std::size_t kStoredOverhead = 6;

// To the members of its topic on this node, as one event of the tenant and one more for each member that gets it. A
// tenant of which nobody here knows has no members.
void publish_stored(Node& node, StoredBroadcast row);

// The average of the tenant's events has reached its limit, so rows are not to be published.
bool events_are_over_limit(Node& node, std::string_view tenant);

// False: so much is on its way to a worker that the feeds have to wait.
bool may_publish(const Node& node);
// Calls `then` once the workers have come through what is on its way to them now: on one of their threads, or at once
// where all keep up. Never once they have stopped.
void when_may_publish(Node& node, std::function<void()> then);

}  // namespace rt::realtime
