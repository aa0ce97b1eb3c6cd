// Where changes of rows reach their channels: the door through which the change feeds of tenants reach the workers.
//
// A feed runs on the thread of the databases. It asks first whether the tenant may have more of them and whether the
// workers keep up (stored_broadcast.h), and then publishes. What one thread publishes and tells reaches each channel in
// this order; a channel that has ended by then hears nothing. Everything here may be called from any thread, once all
// shards of the node are there.
#pragma once

#include <string_view>

#include "model/changes.h"
#include "services/realtime/node.h"

namespace rt::realtime {

// To the channels that each message names, as so many events of its tenant as it is for subscriptions of them. They
// count at the rate of changes only, and close no channel. A tenant of which nobody here knows has no channels.
void publish_changes(Node& node, ChangeBatch batch);

// What became of a channel's subscriptions.
void tell_changes(Node& node, ChangesId id, ChangesNotice notice);

// The average of the tenant's changes has reached its limit, so rows are to be left out.
bool changes_are_over_limit(Node& node, std::string_view tenant);

}  // namespace rt::realtime
