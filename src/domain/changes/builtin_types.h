// Types that every database has, under the same oid. Their values are told in ways of their own.
//
// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat
#pragma once

#include "domain/changes/table.h"

namespace rt::changes {

inline constexpr Oid kBoolOid = 16;
inline constexpr Oid kByteaOid = 17;
inline constexpr Oid kInt8Oid = 20;
inline constexpr Oid kInt2Oid = 21;
inline constexpr Oid kInt2VectorOid = 22;
inline constexpr Oid kInt4Oid = 23;
inline constexpr Oid kOidOid = 26;
inline constexpr Oid kOidVectorOid = 30;
inline constexpr Oid kJsonOid = 114;
inline constexpr Oid kFloat4Oid = 700;
inline constexpr Oid kFloat8Oid = 701;
inline constexpr Oid kTimestampOid = 1114;
inline constexpr Oid kTimestampTzOid = 1184;
inline constexpr Oid kNumericOid = 1700;
inline constexpr Oid kJsonbOid = 3802;

inline bool is_number(Oid type) {
  return type == kInt4Oid || type == kInt8Oid || type == kInt2Oid || type == kNumericOid || type == kFloat8Oid ||
         type == kFloat4Oid;
}

// What numbers can be without being one that JSON can spell.
inline bool is_no_finite_number(std::string_view text) {
  return text == "NaN" || text == "Infinity" || text == "-Infinity";
}

}  // namespace rt::changes
