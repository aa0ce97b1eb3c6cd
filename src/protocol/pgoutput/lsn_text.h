// A position as Postgres writes it (type pg_lsn): `16/B374D848`.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/lsn.h"

namespace rt::pgoutput {

std::string to_text(Lsn position);
std::optional<Lsn> parse_lsn(std::string_view text);

}  // namespace rt::pgoutput
