// libpq, which brings megabytes of libraries for LDAP and Kerberos along, is loaded when it is first needed. In .cc
// files and private headers of io only.
#pragma once

#include <libpq-fe.h>

#include <memory>

#include "base/result.h"

namespace rt {

// What we use of it. Each member has the name and the type of its function.
#define RT_LIBPQ_FUNCTIONS(use)                                                                                  \
  use(PQbackendPID) use(PQcancel) use(PQclear) use(PQcmdStatus) use(PQcmdTuples) use(PQconnectPoll)              \
      use(PQconnectStartParams) use(PQconsumeInput) use(PQenterPipelineMode) use(PQerrorMessage) use(PQfinish)   \
          use(PQflush) use(PQfname) use(PQfreeCancel) use(PQfreemem) use(PQgetCancel) use(PQgetCopyData)         \
              use(PQgetResult) use(PQgetisnull) use(PQgetlength) use(PQgetvalue) use(PQisBusy) use(PQnfields)    \
                  use(PQntuples) use(PQparameterStatus) use(PQpingParams) use(PQpipelineSync) use(PQputCopyData) \
                      use(PQresultErrorField) use(PQresultErrorMessage) use(PQresultStatus) use(PQsendPrepare)   \
                          use(PQsendQuery) use(PQsendQueryParams) use(PQsendQueryPrepared) use(PQserverVersion)  \
                              use(PQsetErrorVerbosity) use(PQsetNoticeReceiver) use(PQsetSingleRowMode)          \
                                  use(PQsetnonblocking) use(PQsocket) use(PQsslInUse) use(PQstatus)              \
                                      use(PQtransactionStatus)

struct Libpq {
// NOLINTNEXTLINE(bugprone-macro-parentheses): it declares a name
#define RT_MEMBER(name) decltype(&::name) name = nullptr;
  RT_LIBPQ_FUNCTIONS(RT_MEMBER)
#undef RT_MEMBER
};

// From any thread; loads it at the first call. The error says what to install. It stays until the process ends:
// libraries that it brings do not stand being unloaded.
Result<const Libpq*> libpq();

using PgConn = std::unique_ptr<PGconn, decltype(&::PQfinish)>;
using PgResult = std::unique_ptr<PGresult, decltype(&::PQclear)>;

}  // namespace rt
