// Whether a message can be true. What comes from the bus may be truncated, foreign or from a program with a mistake: it
// is looked at here once, and what is merged then relies on it.
#pragma once

#include "model/presence_message.h"

namespace rt::presence {

// Clocks fit into 48 bits, lists ascend strictly, and stay within the run of events that the message is about.
bool is_consistent(const PresenceDelta& delta);
bool is_consistent(const PresenceChunk& chunk);
bool is_consistent(const PresenceDigest& digest);
bool is_consistent(const PresencePull& pull);

}  // namespace rt::presence
