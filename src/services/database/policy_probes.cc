#include "services/database/policy_probes.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "protocol/json/value.h"
#include "services/database/asking_as.h"

namespace rt::database {
namespace {

using postgres::ErrorClass;
using postgres::PgError;
using postgres::Statement;

// What is not yet done as somebody else names everything of pg_catalog by its schema, because a schema of users may be
// searched first, and an operator there fit better: it would run with our rights.
//
// A sub-select of an expression names the tables that it reads in its range table. They may be partitions of the table,
// or views over it.
constexpr const char* kSeesProbes =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_policy p, LATERAL (SELECT pg_catalog.concat(p.polqual, ' ', "
    "p.polwithcheck)) AS e (text), LATERAL (SELECT 'realtime.messages'::pg_catalog.regclass::pg_catalog.oid "
    "UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) p.polrelid "
    "UNION ALL SELECT r.ev_class FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid "
    "OPERATOR(pg_catalog.=) d.objid WHERE d.classid OPERATOR(pg_catalog.=) "
    "'pg_catalog.pg_rewrite'::pg_catalog.regclass::pg_catalog.oid AND d.refobjid OPERATOR(pg_catalog.=) p.polrelid) AS "
    "o (oid) WHERE p.polrelid OPERATOR(pg_catalog.=) 'realtime.messages'::pg_catalog.regclass::pg_catalog.oid AND "
    "pg_catalog.strpos(e.text, pg_catalog.concat(':relid ', o.oid, ' ')) OPERATOR(pg_catalog.>) 0)";
constexpr const char* kWriteRows =
    "INSERT INTO realtime.messages (id, topic, extension, inserted_at, updated_at) "
    "SELECT p.id, p.topic, p.extension, $4::pg_catalog.timestamp, $4::pg_catalog.timestamp "
    "FROM unnest($1::pg_catalog.uuid[], $2::pg_catalog.text[], $3::pg_catalog.text[]) AS p (id, topic, extension)";
// The time leaves one partition to look into.
constexpr const char* kLook =
    "SELECT id FROM realtime.messages WHERE inserted_at = $1::timestamp AND id = ANY ($2::uuid[])";
// Without RETURNING, which would need the right to read, too.
constexpr const char* kTry =
    "INSERT INTO realtime.messages (topic, extension, inserted_at, updated_at) VALUES ($1, $2, $3::timestamp, "
    "$3::timestamp)";

bool is_none(std::string_view role) {
  constexpr std::string_view kNone = "none";
  return role.size() == kNone.size() && std::ranges::equal(role, kNone, [](char a, char b) { return (a | 0x20) == b; });
}

bool reads(const AskedRights& asked) { return asked.broadcast_read || asked.presence_read; }

// Resources, an operator, the system, or a transaction that may only read: no policy is the reason.
bool is_of_the_database(std::string_view sqlstate) {
  return sqlstate.starts_with("53") || sqlstate.starts_with("57") || sqlstate.starts_with("58") || sqlstate == "25006";
}

// Of an INSERT as somebody else: it was allowed, or not; the rest are errors.
std::optional<bool> allowed(const postgres::Result<postgres::Rows>& reply) {
  if (reply) return true;
  if (reply.error().sqlstate == "42501") return false;  // insufficient_privilege, as for a row that no policy allows
  return std::nullopt;
}

}  // namespace

std::optional<RightsFault> refused_unasked(const RightsQuestion& question, std::string_view superuser) {
  const Claims& claims = question.claims;
  const auto role = json::Value(claims.json).member("role");
  if (role && !role->is_string() && !role->is_null())
    return RightsFault{RightsFaultKind::kOther, "the claim `role` of the token is no string"};
  const auto refuse = [](std::string text) { return RightsFault{RightsFaultKind::kPolicy, std::move(text)}; };
  if (claims.role.empty()) return refuse("the token names no role");
  if (is_none(claims.role)) return refuse("the role \"none\" of the token would be that of the server's login");
  if (claims.role == superuser) return refuse("the role of the token is that of the server's login, a superuser");
  if (bytes_of(question) > ProbeBatch::kQuestionBytesMax)
    return RightsFault{RightsFaultKind::kOther, "topic, claims and headers are too large: use a shorter topic"};
  const auto has_nul = [](std::string_view text) { return text.find('\0') != std::string_view::npos; };
  if (has_nul(claims.role) || has_nul(claims.subject) || has_nul(question.topic))
    return refuse("role, subject and topic must not contain a NUL, which Postgres cannot store");
  return std::nullopt;
}

std::size_t bytes_of(const RightsQuestion& question) {
  // The topic goes with each probe, and is written twice where it is tried.
  return 4 * question.topic.size() + 2 * question.claims.json.size() + question.claims.subject.size() +
         question.claims.role.size() + (question.headers ? question.headers->size() : 0);
}

RightsFault fault_of(const PgError& error) {
  using Kind = RightsFaultKind;
  const std::string text = error.sqlstate.empty() ? error.message : error.message + " (" + error.sqlstate + ")";
  switch (error.kind) {
    case ErrorClass::kTimeOut:
    case ErrorClass::kCancelled:
      // Without an SQLSTATE it was no statement that took too long.
      return error.sqlstate == "57014" ? RightsFault{Kind::kCancelled, error.message}
                                       : RightsFault{Kind::kUnavailable, text};
    case ErrorClass::kServer:
      // check_violation, but of no constraint that has a name. Messages are in the language of the server.
      if (error.sqlstate == "23514" && error.constraint.empty() && error.table == "messages")
        return {Kind::kMissingPartition, text};
      if (error.sqlstate == "55P03") return {Kind::kCancelled, error.message};  // lock_not_available: for too long
      return {is_of_the_database(error.sqlstate) ? Kind::kUnavailable : Kind::kPolicy, text};
    case ErrorClass::kResultTooLarge:
    case ErrorClass::kRequestTooLarge:
      return {Kind::kOther, text};
    case ErrorClass::kQueueFull:
      return {Kind::kPoolExhausted, text};
    default:
      return {Kind::kUnavailable, text};
  }
}

ProbeBatch::ProbeBatch(std::span<const RightsQuestion* const> questions, std::chrono::system_clock::time_point now,
                       Random& random, SeesProbes sees_probes) {
  RT_CHECK(!questions.empty() && questions.size() <= kQuestionsMax);
  for (const RightsQuestion* question : questions) {
    Asked& asked = asked_.emplace_back(Asked{.question = question});
    if (question->asked.broadcast_read) asked.broadcast_id = random.uuid();
    if (question->asked.presence_read) asked.presence_id = random.uuid();
  }
  batch_.ends = postgres::Ends::kRolledBack;
  batch_.statement_timeout = kTimeout;
  batch_.patience = kPatience;
  const std::string time = timestamp(now);
  prepared_ = add(begin_asking(kTimeout));
  if (!is_alone() || sees_probes == SeesProbes::kLook) prepared_ = sees_probes_ = add({.sql = kSeesProbes});
  write_rows(time);
  if (!is_alone()) add(set_timeout(kSharedTimeout));
  add(save());
  for (Asked& asked : asked_) ask(asked, time);
}

int ProbeBatch::add(Statement statement) {
  batch_.statements.push_back(std::move(statement));
  return static_cast<int>(batch_.statements.size()) - 1;
}

void ProbeBatch::write_rows(const std::string& now) {
  ArrayText ids;
  ArrayText topics;
  ArrayText extensions;
  bool has_any = false;
  for (const Asked& asked : asked_) {
    for (const auto& [id, extension] :
         {std::pair(&asked.broadcast_id, kBroadcastExtension), {&asked.presence_id, kPresenceExtension}}) {
      if (id->empty()) continue;
      has_any = true;
      ids.add(*id);
      topics.add(asked.question->topic);
      extensions.add(extension);
    }
  }
  if (has_any) prepared_ = add({.sql = kWriteRows, .parameters = {ids.take(), topics.take(), extensions.take(), now}});
}

void ProbeBatch::ask(Asked& asked, const std::string& now) {
  const RightsQuestion& question = *asked.question;
  const auto attempt = [&](std::string_view extension) {
    return add({.sql = kTry, .parameters = {question.topic, std::string(extension), now}});
  };
  if (&asked != &asked_.front()) add(go_back());
  asked.settings = add(become(question));
  if (reads(question.asked)) {
    ArrayText ids;
    if (!asked.broadcast_id.empty()) ids.add(asked.broadcast_id);
    if (!asked.presence_id.empty()) ids.add(asked.presence_id);
    asked.look = add({.sql = kLook, .parameters = {now, ids.take()}});
  }
  if (question.asked.broadcast_write) asked.write_broadcast = attempt(kBroadcastExtension);
  // Which sees the row of the broadcast. Where that was denied, it is skipped and asked for later.
  if (question.asked.presence_write) asked.write_presence = attempt(kPresenceExtension);
}

ProbeAnswers ProbeBatch::read(const postgres::SectionsReply& reply) const {
  ProbeAnswers out;
  out.answers.resize(asked_.size());
  const auto all_have = [&](const ProbeAnswer& answer) { std::ranges::fill(out.answers, answer); };
  if (!reply) {
    all_have({.answer = tl::make_unexpected(fault_of(reply.error()))});
    return out;
  }
  if (sees_probes_ >= 0) {
    const auto& sees_probes = (*reply)[static_cast<std::size_t>(sees_probes_)];
    out.policies_see_probes = sees_probes && sees_probes->text(0, 0) == "t";
  }
  // Before the savepoint all are in the same boat, though one topic may have been the reason.
  if (const auto& together = (*reply)[static_cast<std::size_t>(prepared_)]; !together) {
    const RightsFault fault = fault_of(together.error());
    const bool may_be_of_one = !is_alone() && fault.kind == RightsFaultKind::kPolicy;
    all_have({.answer = tl::make_unexpected(fault), .has_to_be_alone = may_be_of_one});
    return out;
  }
  if (out.policies_see_probes && !is_alone()) {
    all_have({.has_to_be_alone = true});
    return out;
  }
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    out.answers[i] = answer_to(asked_[i], *reply);
    const RightsAnswer& answer = out.answers[i].answer;
    const bool took_too_long = !answer && answer.error().kind == RightsFaultKind::kCancelled;
    out.answers[i].has_to_be_alone = took_too_long && !is_alone();
  }
  return out;
}

ProbeAnswer ProbeBatch::answer_to(const Asked& asked, const Replies& replies) const {
  const auto at = [&](int statement) -> const postgres::Result<postgres::Rows>& {
    return replies[static_cast<std::size_t>(statement)];
  };
  const auto failed = [&](int statement) {
    return ProbeAnswer{.answer = tl::make_unexpected(fault_of(at(statement).error()))};
  };
  if (!at(asked.settings)) return failed(asked.settings);
  ProbeAnswer out;
  Rights& rights = out.answer.value();
  if (asked.look >= 0) {
    if (!at(asked.look)) return failed(asked.look);
    const postgres::Rows& rows = *at(asked.look);
    const auto is_seen = [&](const std::string& id) {
      for (std::size_t row = 0; row < rows.size(); ++row) {
        if (rows.text(row, 0) == id) return true;
      }
      return false;
    };
    if (!asked.broadcast_id.empty()) rights.broadcast_read = is_seen(asked.broadcast_id);
    if (!asked.presence_id.empty()) rights.presence_read = is_seen(asked.presence_id);
  }
  if (asked.write_broadcast >= 0) {
    rights.broadcast_write = allowed(at(asked.write_broadcast));
    if (!rights.broadcast_write) return failed(asked.write_broadcast);
  }
  if (asked.write_presence >= 0) {
    if (rights.broadcast_write == false) {
      out.remains.presence_write = true;
      return out;
    }
    rights.presence_write = allowed(at(asked.write_presence));
    if (!rights.presence_write) return failed(asked.write_presence);
  }
  return out;
}

}  // namespace rt::database
