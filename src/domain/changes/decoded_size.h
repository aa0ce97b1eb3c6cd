// How large a change is for the limit poll_max_record_bytes: the bytes of the jsonb text that the reference server
// makes of it before it looks at any subscription (postgres-changes.md 8.6).
//
// That text has every value with the name, type and oid of its column. We only add up how long it would be:
//
//   {"pk": [{"name": "id", "type": "bigint", "typeoid": 20}], "table": "todos", "action": "I", "schema": "public",
//    "columns": [{"name": "id", "type": "bigint", "value": 5, "typeoid": 20}], "timestamp": "2026-08-21 12:03:56+00"}
#pragma once

#include <cstddef>

#include "domain/changes/change.h"

namespace rt::changes {

// The offset of the time is that of UTC; a TimeZone with minutes would add three bytes.
std::size_t decoded_bytes(const Change& change);

// At least as much as that, and quickly found.
std::size_t decoded_bytes_bound(const Change& change);

}  // namespace rt::changes
