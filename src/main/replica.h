// Which copy of the control database this node reads from (tenants.md 10).
#pragma once

#include <string>

#include "main/config.h"

namespace rt::app {

// Its host; empty: none, the primary is read.
std::string replica_host(const Config& config);

}  // namespace rt::app
