// Dates and times as Postgres writes them with `datestyle` ISO, as numbers that are in their order.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace rt::changes {

// Days since 2000-01-01; `infinity` and `-infinity` are beyond all others. nullopt: Postgres does not write that.
std::optional<std::int64_t> parse_date(std::string_view text);

// Microseconds since 2000-01-01 00:00, in UTC if it has an offset: two texts of one instant are equal, whatever the
// time zones of the sessions that wrote them.
std::optional<std::int64_t> parse_timestamp(std::string_view text);

}  // namespace rt::changes
