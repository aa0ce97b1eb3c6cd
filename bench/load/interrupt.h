// Ctrl-C without a handler: the signals stay blocked, and every wait looks whether one is pending.
//
// So a wait ends with an error like any other, and destructors kill the children and remove what they left.
#pragma once

#include "base/result.h"

namespace rt::load {

void hold_back_interrupts();
void let_interrupts_through();  // in a child, which inherits what is blocked

// An error once SIGINT, SIGTERM or SIGHUP has come.
Result<void> not_interrupted();

}  // namespace rt::load
