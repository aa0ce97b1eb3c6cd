// Secrets that nobody gave: made at first start and kept in the data directory, readable by its owner only (mode 0600).
#pragma once

#include <optional>
#include <string>

#include "base/random.h"
#include "base/result.h"
#include "main/config.h"

namespace rt::app {

// Makes the data directory (0700) when missing and fills the secrets of `config` that are not set from the files in it,
// making those that are not there yet. With require_secrets a missing secret is an error that names its variable.
Result<void> resolve_secrets(Config& config, Random& random);

// 64 hex digits.
std::string make_long_secret(Random& random);
// 16 characters of an alphabet of 64: a key of AES-128 has to be a text.
std::string make_key_text(Random& random);

// One of those secrets, the variable that goes over its file, and how it is made.
struct SecretName {
  const char* variable;
  const char* file;
  std::string (*make)(Random& random) = make_long_secret;
};
inline constexpr SecretName kApiJwtSecret{"API_JWT_SECRET", "api_jwt_secret"};
inline constexpr SecretName kDbEncKey{"DB_ENC_KEY", "db_enc_key", make_key_text};
inline constexpr SecretName kMetricsJwtSecret{"METRICS_JWT_SECRET", "metrics_jwt_secret"};

// nullopt: no server has made it yet.
Result<std::optional<std::string>> read_secret(const std::string& data_dir, const SecretName& name);

// For commands that act on a server: the secret of the environment, else the one in its data directory, which is the
// given one, else that of the environment or of the defaults. The error says what to do.
Result<std::string> secret_of_server(const SecretName& name, const std::optional<std::string>& data_dir,
                                     const Environment& environment);

}  // namespace rt::app
