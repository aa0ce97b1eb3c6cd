// `realtime tenant`: lists, shows, makes, changes and removes tenants of a running server, over its HTTP API.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "main/config.h"
#include "main/http_client.h"

namespace rt::app {

using CallHttp = std::function<Result<HttpAnswer>(const HttpCall& call)>;

// `arguments` are those behind `tenant`; `in` is read where a value is `-`. Returns the exit code: 0, or 1 with the
// reason on `err`.
int run_tenant_command(const std::vector<std::string>& arguments, const Environment& environment, Clock& clock,
                       Random& random, const CallHttp& call, std::istream& in, std::ostream& out, std::ostream& err);

}  // namespace rt::app
