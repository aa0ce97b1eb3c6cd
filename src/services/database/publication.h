// The publication of realtime.messages, which is ours: made where it is missing, kept where it is what it should be,
// and made again where it is not (database.md 7). Publications of users are never touched.
#pragma once

#include <cstdint>
#include <string_view>

#include "services/database/replication_slot.h"

namespace rt::database {

inline constexpr std::string_view kMessagesPublication = "supabase_realtime_messages_publication";

enum class PublicationUpkeep : std::uint8_t { kKept, kMade, kMadeAgain };

postgres::Task<postgres::Result<PublicationUpkeep>> keep_publication(Query query);

}  // namespace rt::database
