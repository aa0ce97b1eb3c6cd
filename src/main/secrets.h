// Secrets that nobody gave: made at first start and kept in the data directory, readable by its owner only (mode 0600).
#pragma once

#include "base/random.h"
#include "base/result.h"
#include "main/config.h"

namespace rt::app {

// Makes the data directory (0700) when missing and fills the secrets of `config` that are not set from the files in it,
// making those that are not there yet. With require_secrets a missing secret is an error that names its variable.
Result<void> resolve_secrets(Config& config, Random& random);

}  // namespace rt::app
