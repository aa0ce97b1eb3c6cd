// `realtime serve`: builds everything once, runs it, drains it, stops it. The table of contents of the server.
#pragma once

#include "main/config.h"

namespace rt::app {

// Returns the exit code. `config` is parsed and checked.
int serve(Config config);

}  // namespace rt::app
