// The names that the manual gives to SQLSTATEs.
//
// https://www.postgresql.org/docs/15/errcodes-appendix.html
#pragma once

#include <string_view>

namespace rt::postgres {

// `undefined_table` of 42P01. Of a state that is not known here, the name of its class; else `other`.
std::string_view condition_name(std::string_view sqlstate);

}  // namespace rt::postgres
