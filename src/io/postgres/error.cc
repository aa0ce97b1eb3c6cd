#include "io/postgres/error.h"

#include <algorithm>
#include <array>

namespace rt::postgres {
namespace {

constexpr std::array<std::string_view, 14> kNames = {
    "unreachable", "tls",    "authentication",   "refused",           "unsupported", "time_out",      "connection_lost",
    "cancelled",   "server", "result_too_large", "request_too_large", "queue_full",  "no_connection", "stopped"};

bool is_state(std::string_view text) {
  return text.size() == 5 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

// Where the five letters of the SQLSTATE begin; npos: nowhere.
std::size_t find_state(std::string_view text) {
  for (std::size_t at = text.find(":  "); at != text.npos; at = text.find(":  ", at + 1)) {
    const std::size_t state = at + 3;
    if (is_state(text.substr(state, 5)) && text.substr(state + 5, 2) == ": ") return state;
  }
  return text.npos;
}

ErrorClass class_of_refusal(std::string_view state) {
  return state.starts_with("28") ? ErrorClass::kAuthentication : ErrorClass::kRefused;
}

// Of the first line only: the next ones are DETAIL, HINT and the place in the server's source.
std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

bool is_about_tls(std::string_view text) {
  for (const std::string_view word : {"SSL", "TLS", "certificate"}) {
    if (text.find(word) != text.npos) return true;
  }
  return false;
}

}  // namespace

std::string_view name_of(ErrorClass kind) { return kNames[static_cast<std::size_t>(kind)]; }

PgError connect_error(std::string_view text) {
  const std::size_t at = find_state(text);
  if (at == text.npos) {
    const bool tls = is_about_tls(text);
    return {.kind = tls ? ErrorClass::kTls : ErrorClass::kUnreachable, .message = one_line(text)};
  }
  const std::string state(text.substr(at, 5));
  return {.kind = class_of_refusal(state), .sqlstate = state, .message = std::string(first_line(text.substr(at + 7)))};
}

bool is_lasting(const PgError& error) {
  switch (error.kind) {
    case ErrorClass::kTls:
    case ErrorClass::kAuthentication:
    case ErrorClass::kUnsupported:
      return true;
    case ErrorClass::kRefused:  // 53: resources, 57: an operator, 08: connections; others say that something is amiss
      return !error.sqlstate.starts_with("53") && !error.sqlstate.starts_with("57") &&
             !error.sqlstate.starts_with("08");
    default:
      return false;
  }
}

bool is_of_the_statement(const PgError& error) {
  if (error.kind != ErrorClass::kServer) return false;
  const std::string_view state = error.sqlstate;
  const auto is_of = [&](std::string_view of_class) { return state.starts_with(of_class); };
  // 25006: a transaction that may only read; 55P03: a lock was not to be had in time.
  return !is_of("08") && !is_of("53") && !is_of("57") && !is_of("58") && state != "25006" && state != "55P03";
}

std::string one_line(std::string_view text) {
  std::string out(text.substr(0, text.find_last_not_of(" \n\t") + 1));
  for (char& c : out) {
    if (c == '\n' || c == '\t' || c == '\r') c = ' ';
  }
  return out;
}

}  // namespace rt::postgres
