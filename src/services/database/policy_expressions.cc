#include "services/database/policy_expressions.h"

#include <charconv>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "services/database/asking_as.h"
#include "services/database/policy_probes.h"

namespace rt::database {
namespace {

// What a full batch may have to send.
static_assert(ProbeBatch::kQuestionsMax * ExpressionBatch::kExpressionBytesMax + ProbeBatch::kBytesMax <
              postgres::Batch::kBytesMax);

using postgres::Rows;
using postgres::Statement;

// Operators are named by their schema here for the reason that policy_probes.cc gives.
//
// Nothing of users could refuse a probe or change it: the table and the partition of the day have no triggers, rules,
// constraints, indexes, columns or defaults but those of the schema. Partitions of other days hold no probe.
constexpr const char* kIsPlain = R"(WITH t (top, tree) AS MATERIALIZED (
  SELECT m.oid, ARRAY(SELECT m.oid UNION ALL SELECT i.oid FROM (SELECT i.inhrelid, (SELECT
      c.relname::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) i.inhrelid)
    FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) m.oid OFFSET 0) AS i (oid, name)
    WHERE i.name OPERATOR(pg_catalog.=) $1::pg_catalog.text OR
      i.name OPERATOR(pg_catalog.!~) '^messages_\d{4}_\d\d_\d\d$')
  FROM (SELECT 'realtime.messages'::pg_catalog.regclass::pg_catalog.oid) AS m (oid))
SELECT
  NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY (t.tree) AND
    (c.relchecks OPERATOR(pg_catalog.<>) 1 OR c.relkind OPERATOR(pg_catalog.<>)
      CASE WHEN c.oid OPERATOR(pg_catalog.=) t.top THEN 'p'::pg_catalog."char" ELSE 'r'::pg_catalog."char" END))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) ANY (t.tree))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid OPERATOR(pg_catalog.=) ANY (t.tree))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) ANY (t.tree) AND
    c.contype OPERATOR(pg_catalog.<>) ALL ('{p,n,c}'::pg_catalog."char"[]))
  AND (SELECT pg_catalog.starts_with(pg_catalog.pg_get_constraintdef(c.oid),
      'CHECK (((payload IS NULL) OR (binary_payload IS NULL)))')
    FROM pg_catalog.pg_constraint c WHERE c.conrelid OPERATOR(pg_catalog.=) t.top AND c.contype OPERATOR(pg_catalog.=)
      'c'::pg_catalog."char")
  AND (SELECT pg_catalog.string_agg(c.relname::pg_catalog.text, ' ' ORDER BY c.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid
    WHERE i.indrelid OPERATOR(pg_catalog.=) t.top) OPERATOR(pg_catalog.=)
    'messages_inserted_at_topic_index messages_pkey'::pg_catalog.text
  AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) ANY (t.tree))
    OPERATOR(pg_catalog.=) (2 OPERATOR(pg_catalog.*) pg_catalog.cardinality(t.tree))
  AND (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attname, a.atttypid, a.attnotnull, a.attgenerated,
      a.attidentity, pg_catalog.pg_get_expr(d.adbin, d.adrelid)), ', ' ORDER BY a.attname)
    FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid AND
      d.adnum OPERATOR(pg_catalog.=) a.attnum
    WHERE a.attrelid OPERATOR(pg_catalog.=) t.top AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND
      NOT a.attisdropped) OPERATOR(pg_catalog.=) pg_catalog.concat_ws(', ', 'binary_payload 17 f  ', 'event 25 f  ',
      'extension 25 t  ', 'id 2950 t   gen_random_uuid()', 'inserted_at 1114 t   now()', 'payload 3802 f  ',
      'private 16 f   false', 'topic 25 t  ', 'updated_at 1114 t   now()')
  AND (SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) ANY (t.tree)
    AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND a.attnotnull AND NOT a.attisdropped)
    OPERATOR(pg_catalog.=) (5 OPERATOR(pg_catalog.*) pg_catalog.cardinality(t.tree))
FROM t)";

// As Postgres applies them (its get_row_security_policies()): those without an expression count for nothing, the
// permissive ones from the last name to the first, the restrictive ones from the first to the last.
//
// Not sure is one that refers to the row as a whole or to what only a stored row has; and one of whose functions has
// another one of its name beside it, which its text might be taken for.
constexpr const char* kExpressions = R"(SELECT
  pg_catalog.row_security_active(t.oid),
  pg_catalog.has_schema_privilege('realtime', 'USAGE') AND
    pg_catalog.has_column_privilege(t.oid, 'id', 'SELECT') AND
    pg_catalog.has_column_privilege(t.oid, 'inserted_at', 'SELECT'),
  pg_catalog.has_schema_privilege('realtime', 'USAGE') AND
    pg_catalog.has_column_privilege(t.oid, 'topic', 'INSERT') AND
    pg_catalog.has_column_privilege(t.oid, 'extension', 'INSERT') AND
    pg_catalog.has_column_privilege(t.oid, 'inserted_at', 'INSERT') AND
    pg_catalog.has_column_privilege(t.oid, 'updated_at', 'INSERT'),
  e.*
FROM (SELECT 'realtime.messages'::pg_catalog.regclass::pg_catalog.oid) AS t (oid), LATERAL (
  SELECT coalesce(pg_catalog.bool_and(p.is_sure), true),
    pg_catalog.string_agg(p.reading, ' OR ' ORDER BY p.name DESC) FILTER (WHERE p.reads AND p.is_permissive),
    pg_catalog.count(p.reading) FILTER (WHERE p.reads AND NOT p.is_permissive),
    pg_catalog.string_agg(p.reading, ' OFFSET 0) AS messages WHERE ' ORDER BY p.name)
      FILTER (WHERE p.reads AND NOT p.is_permissive),
    pg_catalog.string_agg(p.writing, ' OR ' ORDER BY p.name DESC) FILTER (WHERE p.writes AND p.is_permissive),
    pg_catalog.count(p.writing) FILTER (WHERE p.writes AND NOT p.is_permissive),
    pg_catalog.string_agg(p.writing, ' THEN CASE WHEN ' ORDER BY p.name)
      FILTER (WHERE p.writes AND NOT p.is_permissive)
  FROM (SELECT p.polname, p.polpermissive, p.polcmd OPERATOR(pg_catalog.=) ANY ('{r,*}'::pg_catalog."char"[]),
      p.polcmd OPERATOR(pg_catalog.=) ANY ('{a,*}'::pg_catalog."char"[]),
      pg_catalog.textcat(pg_catalog.textcat('(', pg_catalog.pg_get_expr(p.polqual, p.polrelid)), ')'),
      pg_catalog.textcat(pg_catalog.textcat('(', pg_catalog.pg_get_expr(coalesce(p.polwithcheck, p.polqual),
        p.polrelid)), ')'),
      pg_catalog.strpos(x.text, ':varattno 0 ') OPERATOR(pg_catalog.=) 0 AND
        pg_catalog.strpos(x.text, ':varattno -') OPERATOR(pg_catalog.=) 0 AND
        NOT EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc f ON f.oid OPERATOR(pg_catalog.=)
          d.refobjid WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_policy'::pg_catalog.regclass::pg_catalog.oid
          AND d.objid OPERATOR(pg_catalog.=) p.oid AND d.refclassid OPERATOR(pg_catalog.=)
            'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid AND
          (NOT pg_catalog.has_schema_privilege(f.pronamespace, 'USAGE') OR EXISTS (SELECT FROM pg_catalog.pg_proc o
            WHERE o.proname OPERATOR(pg_catalog.=) f.proname AND o.pronamespace OPERATOR(pg_catalog.=) f.pronamespace
              AND o.oid OPERATOR(pg_catalog.<>) f.oid)))
    FROM pg_catalog.pg_policy p, LATERAL (SELECT pg_catalog.concat(p.polqual, ' ', p.polwithcheck)) AS x (text)
    WHERE p.polrelid OPERATOR(pg_catalog.=) t.oid AND
      p.polcmd OPERATOR(pg_catalog.=) ANY ('{r,a,*}'::pg_catalog."char"[]) AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS r (oid) WHERE CASE WHEN r.oid OPERATOR(pg_catalog.=)
        0::pg_catalog.oid THEN true ELSE pg_catalog.pg_has_role(r.oid, 'USAGE') END)
    ) AS p (name, is_permissive, reads, writes, reading, writing, is_sure)) AS e)";

// OFFSET 0 keeps the planner from computing ahead what it would not over a stored row, and from looking at a condition
// before the restrictive ones behind which it stands.
constexpr std::string_view kRow =
    "(SELECT $1::pg_catalog.text AS topic, e.extension, NULL::pg_catalog.jsonb AS payload, "
    "NULL::pg_catalog.text AS event, false AS private, $3::pg_catalog.timestamp AS updated_at, "
    "$3::pg_catalog.timestamp AS inserted_at, pg_catalog.gen_random_uuid() AS id, NULL::pg_catalog.bytea AS "
    "binary_payload FROM pg_catalog.unnest($2::pg_catalog.text[]) AS e (extension) OFFSET 0) AS messages";
constexpr std::string_view kInner = "(SELECT messages.* FROM ";
constexpr std::string_view kBarrier = " OFFSET 0) AS messages WHERE ";  // as kExpressions puts it between two

// Who looks into a table holds its lock until the end, and was a function of a policy.
constexpr const char* kHasLooked =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() "
    "AND l.relation OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT 'realtime.messages'::pg_catalog.regclass::pg_catalog.oid "
    "UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) "
    "'realtime.messages'::pg_catalog.regclass::pg_catalog.oid)))";

// In the places where Postgres has them: conditions of a scan, the restrictive ones one after the other and before the
// others, the parts of each ordered by their cost.
std::string reading(const RoleExpressions& by) {
  std::string out = "SELECT messages.extension FROM ";
  for (int i = 0; i < by.reading_restrictions; ++i) out.append(kInner);
  out.append(kRow).append(" WHERE ");
  if (by.reading_restricted_by) out.append(*by.reading_restricted_by).append(kBarrier);
  return out + *by.reading_allowed_by;
}

// And checks of the row, as they stand, one after the other, the restrictive ones last. An AND would be done without
// its first part where a later one is known to be false, and an error in that part would be lost.
std::string writing(const RoleExpressions& by) {
  std::string out = "SELECT CASE WHEN (" + *by.writing_allowed_by + ")";
  if (by.writing_restricted_by) out.append(" THEN CASE WHEN ").append(*by.writing_restricted_by);
  out.append(" THEN messages.extension END");
  for (int i = 0; i < by.writing_restrictions; ++i) out.append(" END");
  return out.append(" FROM ").append(kRow);
}

std::size_t bytes_of(const RoleExpressions& expressions) {
  std::size_t bytes = 0;
  for (const auto* text : {&expressions.reading_allowed_by, &expressions.reading_restricted_by,
                           &expressions.writing_allowed_by, &expressions.writing_restricted_by})
    bytes += *text ? (*text)->size() : 0;
  return bytes;
}

RoleExpressions read_expressions(const Rows& rows) {
  const auto is_true = [&](std::size_t column) { return rows.text(0, column) == "t"; };
  const auto text = [&](std::size_t column) {
    const auto field = rows.text(0, column);
    return field ? std::optional(std::string(*field)) : std::nullopt;
  };
  const auto number = [&](std::size_t column) {
    const std::string_view digits = rows.text(0, column).value_or("");
    int out = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return out;
  };
  RoleExpressions out{.is_sure = is_true(3),
                      .is_held_back = is_true(0),
                      .may_select = is_true(1),
                      .may_insert = is_true(2),
                      .reading_allowed_by = text(4),
                      .reading_restrictions = number(5),
                      .reading_restricted_by = text(6),
                      .writing_allowed_by = text(7),
                      .writing_restrictions = number(8),
                      .writing_restricted_by = text(9)};
  if (bytes_of(out) > ExpressionBatch::kExpressionBytesMax) out = {};
  return out;
}

bool reads(const AskedRights& asked) { return asked.broadcast_read || asked.presence_read; }
bool writes(const AskedRights& asked) { return asked.broadcast_write || asked.presence_write; }

std::string extensions(bool broadcast, bool presence) {
  ArrayText out;
  if (broadcast) out.add(kBroadcastExtension);
  if (presence) out.add(kPresenceExtension);
  return out.take();
}

std::string partition_of(std::string_view now) {
  std::string day(now.substr(0, now.find(' ')));
  for (char& c : day) c = c == '-' ? '_' : c;
  return "messages_" + day;
}

}  // namespace

// --- What is known

KnownExpressions::Known& KnownExpressions::entry(const std::string& role) {
  if (roles_.size() >= kRolesMax && !roles_.contains(role)) roles_.clear();
  return roles_[role];
}

const RoleExpressions* KnownExpressions::of(const std::string& role) const {
  const auto found = roles_.find(role);
  return found != roles_.end() && found->second.expressions ? &*found->second.expressions : nullptr;
}

void KnownExpressions::learn(const std::string& role, RoleExpressions expressions) {
  entry(role).expressions = std::move(expressions);
}

void KnownExpressions::note_unsure(const std::string& role, Time now) { entry(role).unsure_until = now + kUnsureFor; }

bool KnownExpressions::is_worth_asking(const std::string& role, Time now) const {
  const auto found = roles_.find(role);
  return found == roles_.end() || now >= found->second.unsure_until;
}

// --- Asking

ExpressionBatch::ExpressionBatch(std::span<const RightsQuestion* const> questions,
                                 std::chrono::system_clock::time_point now, const KnownExpressions& known) {
  RT_CHECK(!questions.empty() && questions.size() <= ProbeBatch::kQuestionsMax);
  batch_.ends = postgres::Ends::kRolledBack;
  batch_.statement_timeout = ProbeBatch::kTimeout;
  batch_.patience = ProbeBatch::kPatience;
  const std::string time = timestamp(now);
  is_plain_ = add({.sql = kIsPlain, .parameters = {partition_of(time)}});
  add(save());
  read_catalog(questions, known);
  add(go_back());
  // Not before: what reads the catalog is long to plan, and the same for everybody.
  add(begin_asking(ProbeBatch::kTimeout));
  // Who is slower is asked by probes, where it takes its time by itself.
  if (questions.size() > 1) add(set_timeout(ProbeBatch::kSharedTimeout));
  add(save());
  for (const RightsQuestion* question : questions) ask(*question, time);
}

void ExpressionBatch::read_catalog(std::span<const RightsQuestion* const> questions, const KnownExpressions& known) {
  for (const RightsQuestion* question : questions) {
    const std::string& name = question->claims.role;
    const auto [place, is_new] = roles_.try_emplace(name);
    if (!is_new) continue;
    if (roles_.size() > 1) add(go_back());
    add(become(*question));
    place->second.expressions = add({.sql = kExpressions});
    if (const RoleExpressions* guess = known.of(name)) place->second.guessed = *guess;
  }
}

int ExpressionBatch::add(Statement statement) {
  batch_.statements.push_back(std::move(statement));
  return static_cast<int>(batch_.statements.size()) - 1;
}

void ExpressionBatch::ask(const RightsQuestion& question, const std::string& now) {
  if (!asked_.empty()) add(go_back());
  Asked& asked = asked_.emplace_back(Asked{.question = &question});
  asked.settings = add(become(question));
  const Role& role = roles_.at(question.claims.role);
  if (!role.guessed || !role.guessed->is_sure || !role.guessed->is_held_back) return;
  const RoleExpressions& guess = *role.guessed;
  // Its names can be looked up by who asks only, so it cannot be prepared ahead.
  const auto evaluate = [&](std::string sql, bool broadcast, bool presence) {
    return add({.sql = std::move(sql),
                .parameters = {question.topic, extensions(broadcast, presence), now},
                .plan = postgres::Plan::kOnce});
  };
  const AskedRights& rights = question.asked;
  if (reads(rights) && guess.reading_allowed_by)
    asked.reading = evaluate(reading(guess), rights.broadcast_read, rights.presence_read);
  if (writes(rights) && guess.writing_allowed_by)
    asked.writing = evaluate(writing(guess), rights.broadcast_write, rights.presence_write);
  if (asked.reading >= 0 || asked.writing >= 0) asked.looked = add({.sql = kHasLooked});
}

// --- Reading the answers

std::vector<ExpressionAnswer> ExpressionBatch::read(const postgres::SectionsReply& reply,
                                                    KnownExpressions& known) const {
  std::vector<ExpressionAnswer> out(asked_.size());
  if (!reply) {
    for (ExpressionAnswer& one : out)
      one = {.what = ExpressionAnswer::What::kAnswer, .answer = tl::make_unexpected(fault_of(reply.error()))};
    return out;
  }
  const auto at = [&](int statement) -> const postgres::Result<Rows>& {
    return (*reply)[static_cast<std::size_t>(statement)];
  };
  const bool is_plain = at(is_plain_) && at(is_plain_)->text(0, 0) == "t";
  std::unordered_map<std::string_view, RoleExpressions> said;
  for (const auto& [name, role] : roles_) {
    const auto& rows = at(role.expressions);
    if (!rows) continue;
    known.learn(name, said[name] = read_expressions(*rows));
  }
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    const std::string& name = asked_[i].question->claims.role;
    const auto now = said.find(name);
    if (now == said.end()) continue;
    if (!is_plain || !now->second.is_sure) {
      out[i].is_unsure = true;
    } else if (roles_.at(name).guessed != now->second) {
      out[i].what = ExpressionAnswer::What::kAgain;
    } else {
      out[i] = answer_to(asked_[i], now->second, *reply);
    }
  }
  return out;
}

ExpressionAnswer ExpressionBatch::answer_to(const Asked& asked, const RoleExpressions& said,
                                            const Replies& replies) const {
  const auto at = [&](int statement) -> const postgres::Result<Rows>& {
    return replies[static_cast<std::size_t>(statement)];
  };
  for (const int statement : {asked.settings, asked.reading, asked.writing, asked.looked}) {
    if (statement < 0 || at(statement)) continue;
    const RightsFault fault = fault_of(at(statement).error());
    // Of its own, it would end in the same way again.
    if (asked_.size() == 1 && fault.kind == RightsFaultKind::kCancelled)
      return {.what = ExpressionAnswer::What::kAnswer, .answer = tl::make_unexpected(fault)};
    return {};
  }
  if (asked.looked >= 0 && at(asked.looked)->text(0, 0) != "f") return {.is_unsure = true};
  const AskedRights& rights = asked.question->asked;
  if (reads(rights) && !said.may_select) return {.is_unsure = true};  // which is an error
  const auto is_granted = [&](int statement, std::string_view extension) {
    if (!said.is_held_back) return true;
    if (statement < 0) return false;
    const Rows& rows = *at(statement);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (rows.text(row, 0) == extension) return true;
    }
    return false;
  };
  const auto may_write = [&](std::string_view extension) {
    return said.may_insert && is_granted(asked.writing, extension);
  };
  ExpressionAnswer out{.what = ExpressionAnswer::What::kAnswer};
  Rights& granted = out.answer.value();
  if (rights.broadcast_read) granted.broadcast_read = is_granted(asked.reading, kBroadcastExtension);
  if (rights.presence_read) granted.presence_read = is_granted(asked.reading, kPresenceExtension);
  if (rights.broadcast_write) granted.broadcast_write = may_write(kBroadcastExtension);
  if (rights.presence_write) granted.presence_write = may_write(kPresenceExtension);
  return out;
}

}  // namespace rt::database
