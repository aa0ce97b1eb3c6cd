// A certificate for tests, which nobody trusts.
#pragma once

#include <string>

namespace rt {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

// Self-signed, on P-256, for an hour. The directory is the caller's.
CertificateFiles make_certificate(const std::string& directory);

}  // namespace rt
