#include "main/doctor_report.h"

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>

#include "protocol/json/value.h"

namespace rt::app {
namespace {

// What a database server says may hold anything, but does not command our terminal.
std::string printable(std::string text) {
  std::ranges::replace_if(text, [](char c) { return (c >= 0 && c < ' ' && c != '\n') || c == '\x7f'; }, '?');
  return text;
}

std::string_view name_of(Severity severity) {
  return severity == Severity::kError ? "error" : severity == Severity::kWarning ? "warning" : "note";
}

std::string identity(const postgres::ConnectionSettings& database) {
  return database.host + ":" + database.port + "/" + database.database + " as " + database.user;
}

void print_sql_of(const Finding& finding, std::ostream& out) {
  constexpr std::ptrdiff_t kLinesMax = 12;
  if (finding.sql.empty()) return;
  if (std::ranges::count(finding.sql, '\n') > kLinesMax) {
    out << "  The SQL is long: " << (finding.severity == Severity::kNote ? "--json" : "--sql") << " prints it.\n";
    return;
  }
  out << "  SQL" << (finding.needs_restart ? ", then restart the database server" : "") << ":\n    ";
  for (const char c : printable(finding.sql)) out << c << (c == '\n' ? "    " : "");
  out << '\n';
}

}  // namespace

bool keeps_from_serving(const Diagnosis& diagnosis) {
  return std::ranges::any_of(diagnosis.findings, [](const Finding& f) { return f.severity == Severity::kError; });
}

void print_text(const Diagnosis& diagnosis, const postgres::ConnectionSettings& database, std::ostream& out) {
  out << printable(identity(database)) << (diagnosis.server.empty() ? "" : ", " + diagnosis.server) << "\n"
      << diagnosis.checked << " things looked at, " << diagnosis.findings.size() << " found.\n";
  for (const Finding& finding : diagnosis.findings) {
    out << "\n"
        << name_of(finding.severity) << "  " << finding.id << "\n  " << printable(finding.problem) << "\n  "
        << printable(finding.remedy) << '\n';
    print_sql_of(finding, out);
  }
}

// Notes are left out: nobody should mend unseen what may be meant so.
void print_sql(const Diagnosis& diagnosis, std::ostream& out) {
  for (const Finding& finding : diagnosis.findings) {
    if (finding.severity == Severity::kNote) continue;
    out << "-- " << name_of(finding.severity) << ": " << finding.id
        << (finding.sql.empty() ? ", which SQL cannot mend" : "")
        << (finding.needs_restart ? ", counts after a restart of the database server" : "") << '\n'
        << finding.sql << (finding.sql.empty() || finding.sql.ends_with('\n') ? "" : "\n");
  }
}

void print_json(const Diagnosis& diagnosis, const postgres::ConnectionSettings& database, std::ostream& out) {
  out << "{\"host\":" << json::quoted(database.host) << ",\"port\":" << json::quoted(database.port)
      << ",\"database\":" << json::quoted(database.database) << ",\"user\":" << json::quoted(database.user)
      << ",\"server\":" << (diagnosis.server.empty() ? "null" : json::quoted(diagnosis.server))
      << ",\"checked\":" << diagnosis.checked << ",\"findings\":[";
  for (const Finding& finding : diagnosis.findings) {
    out << (&finding == diagnosis.findings.data() ? "" : ",") << "{\"id\":" << json::quoted(finding.id)
        << ",\"severity\":" << json::quoted(name_of(finding.severity))
        << ",\"problem\":" << json::quoted(finding.problem) << ",\"remedy\":" << json::quoted(finding.remedy)
        << ",\"sql\":" << (finding.sql.empty() ? "null" : json::quoted(finding.sql))
        << ",\"needs_restart\":" << (finding.needs_restart ? "true" : "false") << "}";
  }
  out << "]}\n";
}

}  // namespace rt::app
