#include "io/postgres/error.h"

#include <doctest/doctest.h>

namespace rt::postgres {
namespace {

TEST_CASE("a refused login is told by its SQLSTATE, in whatever language the server speaks") {
  const auto english = connect_error(
      "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password authentication failed for user "
      "\"u\"\nLOCATION:  auth_failed, auth.c:338\n");
  CHECK(english.kind == ErrorClass::kAuthentication);
  CHECK(english.sqlstate == "28P01");
  CHECK(english.message == "password authentication failed for user \"u\"");
  const auto german = connect_error("FATAL:  53300: tut mir leid, schon zu viele Verbindungen\n");
  CHECK(german.kind == ErrorClass::kRefused);
  CHECK(german.sqlstate == "53300");
  CHECK_FALSE(is_lasting(german));
}

TEST_CASE("without a SQLSTATE it is the network or TLS") {
  CHECK(connect_error("connection to server failed: Connection refused\n\tIs it running?\n").kind ==
        ErrorClass::kUnreachable);
  CHECK(connect_error("server does not support SSL, but SSL was required\n").kind == ErrorClass::kTls);
  CHECK(connect_error("SSL error: certificate verify failed\n").kind == ErrorClass::kTls);
  CHECK(connect_error("").message.empty());
}

TEST_CASE("what only a person can mend is not tried again") {
  CHECK(is_lasting({.kind = ErrorClass::kRefused, .sqlstate = "3D000"}));
  CHECK(is_lasting({.kind = ErrorClass::kAuthentication}));
  CHECK_FALSE(is_lasting({.kind = ErrorClass::kRefused, .sqlstate = "57P03"}));
  CHECK_FALSE(is_lasting({.kind = ErrorClass::kUnreachable}));
}

TEST_CASE("each class has a name") {
  CHECK(name_of(ErrorClass::kUnreachable) == "unreachable");
  CHECK(name_of(ErrorClass::kStopped) == "stopped");
}

}  // namespace
}  // namespace rt::postgres
