#include "services/database/asking_as.h"

#include <cmath>
#include <cstdio>

#include "protocol/json/value.h"

namespace rt::database {
namespace {

// A plan that was made for one user must not serve another: where a function calls itself immutable and is not, it is
// computed once for each plan.
constexpr const char* kPrepare =
    "SELECT pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', true), "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true)";
constexpr const char* kHurry = "SELECT pg_catalog.set_config('statement_timeout', $1, true)";
constexpr const char* kSave = "SAVEPOINT before_question";
constexpr const char* kGoBack = "ROLLBACK TO SAVEPOINT before_question";
constexpr const char* kSettings =
    "SELECT pg_catalog.set_config('realtime.topic', $1, true), pg_catalog.set_config('request.jwt.claims', $2, true), "
    "pg_catalog.set_config('request.jwt.claim.sub', $3, true), "
    "pg_catalog.set_config('request.jwt.claim.role', $4, true), "
    "pg_catalog.set_config('request.headers', $5, true), pg_catalog.set_config('role', $4, true)";

}  // namespace

std::string claims_for_policies(const Claims& claims) {
  const auto is_fraction = [](std::string_view name, json::Value value) {
    return (name == "exp" || name == "iat") && value.type() == json::Type::kNumber && !value.integer();
  };
  const json::Value all(claims.json);
  bool has_fraction = false;
  for (json::Elements members(all); const auto value = members.next();)
    has_fraction = has_fraction || is_fraction(json::unescape(members.key()), *value);
  if (!has_fraction) return claims.json;
  std::string out = "{";
  for (json::Elements members(all); const auto value = members.next();) {
    out.append(out.size() == 1 ? "" : ",").append(members.key()).append(":");
    const double number = value->number().value_or(0);
    if (is_fraction(json::unescape(members.key()), *value) && std::abs(number) < 1e15) {
      out += std::to_string(std::llround(number));
    } else {
      out.append(value->text());
    }
  }
  return out + "}";
}

postgres::Statement begin_asking(std::chrono::milliseconds timeout) {
  return {.sql = kPrepare, .parameters = {std::to_string(timeout.count())}};
}

postgres::Statement set_timeout(std::chrono::milliseconds timeout) {
  return {.sql = kHurry, .parameters = {std::to_string(timeout.count())}};
}

postgres::Statement save() { return {.sql = kSave}; }

postgres::Statement go_back() { return {.sql = kGoBack, .runs = postgres::Runs::kInAnyCase}; }

postgres::Statement become(const RightsQuestion& question) {
  return {.sql = kSettings,
          .parameters = {question.topic, claims_for_policies(question.claims), question.claims.subject,
                         question.claims.role, question.headers ? *question.headers : "{}"}};
}

std::string timestamp(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss of_day(floor<microseconds>(time - day));
  char out[48];
  std::snprintf(out, sizeof out, "%04d-%02u-%02u %02lld:%02lld:%02lld.%06lld", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<long long>(of_day.hours().count()), static_cast<long long>(of_day.minutes().count()),
                static_cast<long long>(of_day.seconds().count()), static_cast<long long>(of_day.subseconds().count()));
  return out;
}

void ArrayText::add_null() { text_ += text_.size() == 1 ? "NULL" : ",NULL"; }

void ArrayText::add(std::string_view element) {
  text_ += text_.size() == 1 ? "\"" : ",\"";
  for (const char c : element) {
    if (c == '"' || c == '\\') text_ += '\\';
    text_ += c;
  }
  text_ += '"';
}

}  // namespace rt::database
