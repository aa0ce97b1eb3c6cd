// What went wrong between us and a Postgres server, as a value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace rt::postgres {

enum class ErrorClass : std::uint8_t {
  kUnreachable,      // no address, nobody listens, the network
  kTls,              // one side wants TLS and the other has none, or the certificate is not what was asked for
  kAuthentication,   // class 28: wrong password, no such role, no entry for us in pg_hba.conf
  kRefused,          // a server that takes no connection of ours for another reason: starting, full, no such database
  kUnsupported,      // no Postgres that we know: too old, or its version cannot be read
  kTimeOut,          // of connecting, of a statement, of an answer
  kConnectionLost,   // it was open
  kCancelled,        // somebody asked for it
  kServer,           // an error of the statement; the connection goes on
  kResultTooLarge,   // more rows or bytes than the batch allows
  kRequestTooLarge,  // more bytes to send than a batch may have
  kQueueFull,        // too many wait for a connection of the pool
  kNoConnection,     // none became free in time
  kStopped,          // the pool is being stopped
};

// As logs and metrics say it: "connection_lost".
std::string_view name_of(ErrorClass kind);

struct PgError {
  ErrorClass kind = ErrorClass::kServer;
  std::string sqlstate{};  // five letters or empty; appendix A of the Postgres manual
  std::string message{};   // one line, without what the rows hold
  std::string detail{};    // may quote rows: not for logs
  std::string hint{};
  std::string table{};       // that it is about; without its schema
  std::string constraint{};  // likewise
  int position = 0;          // of the character in the statement, from 1; 0: unknown
  int statement = -1;        // index in the batch; -1: none in particular
  // The statements were sent and no answer tells whether they were executed. Where this is false, they were not, or
  // were rolled back.
  bool outcome_unknown = false;
};

template <class T>
using Result = tl::expected<T, PgError>;

inline tl::unexpected<PgError> fail(ErrorClass kind, std::string message) {
  return tl::make_unexpected(PgError{.kind = kind, .message = std::move(message)});
}

// Of a connection that was not opened. `text` is libpq's, which has no field for the SQLSTATE at that time: with
// verbose errors it stands in the text, as in "FATAL:  28P01: password authentication failed".
PgError connect_error(std::string_view text);

// It will not help to try again before somebody has changed something.
bool is_lasting(const PgError& error);

// It is the statement that failed, and would again: not the connection, the server, its resources or an operator.
bool is_of_the_statement(const PgError& error);

// Its lines in one.
std::string one_line(std::string_view text);

}  // namespace rt::postgres
