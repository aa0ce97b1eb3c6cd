// The control store that the settings name, and what decrypts the secrets in it.
#pragma once

#include <memory>

#include "base/log.h"
#include "base/result.h"
#include "domain/tenants/encryption.h"
#include "io/store/store.h"
#include "main/config.h"

namespace rt::app {

// Its key has to be there (resolve_secrets()).
tenants::Encryption encryption(const Config& config);

Result<std::unique_ptr<store::ControlStore>> control_store(const Config& config, Log& log);

}  // namespace rt::app
