// What filters leave to Postgres: operators applied to values of rows and of filters. No table is read.
//
// All questions of one type and operator share a statement, and the statements a transaction. Where one question is an
// error (a regular expression that takes too long, a text that its type no longer reads) each of its statement is asked
// again by itself, so that it is an error for nobody else.
//
// They are asked as the server's login, so that nothing may run which a user could have made. A value is read by the
// input function of its type and never cast from text, as whoever owns a type may define such a cast. Operators are
// those of pg_catalog. Values of a type from elsewhere are compared as arrays of one: Postgres does that by the type's
// operator class, which only a superuser can have made, where an operator of another schema may be anybody's.
#pragma once

#include <chrono>

#include "domain/changes/questions.h"
#include "domain/changes/table.h"
#include "io/postgres/error.h"
#include "io/postgres/task.h"

namespace rt::postgres {
class Pool;
}

namespace rt::database {

// Everything is to stay until it has ended. What could not be told has no answer; so have all whose turn did not come
// before the error that is returned, which is one of the connection. `timeout`: of each statement.
postgres::Task<postgres::Result<void>> answer_questions(postgres::Pool& pool, const changes::Types& types,
                                                        changes::Questions& questions,
                                                        std::chrono::milliseconds timeout);

}  // namespace rt::database
