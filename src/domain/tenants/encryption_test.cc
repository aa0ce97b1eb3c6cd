#include "domain/tenants/encryption.h"

#include <doctest/doctest.h>

#include <cstddef>
#include <utility>

namespace rt::tenants {
namespace {

const std::string kLegacyKey = "1234567890123456";
const std::string kKey = "12345678901234567890123456789012";

Encryption legacy() { return {kLegacyKey, std::nullopt, Encryption::Format::kLegacy}; }
Encryption current() { return {kLegacyKey, kKey, Encryption::Format::kCurrent}; }

struct CountingRandom final : Random {
  void fill(std::span<std::byte> out) override {
    for (std::byte& byte : out) byte = static_cast<std::byte>(next++);
  }
  unsigned char next = 0;
};

TEST_CASE("values of the old format are those that other servers wrote, in both directions [T-005]") {
  SystemRandom random;
  for (const auto& [plain, stored] :
       {std::pair{"postgres", "v1QVng3N+pZd/0AEObABwg=="}, std::pair{"127.0.0.1", "7Wwy/7hIGy35MCo8jeVy+w=="},
        std::pair{"5432", "m3KM2cjJ+t7C3443QcjOgA=="},
        std::pair{"1234567890123456", "dXzNDNxckOrb7uz2ON0AAAUBh6DN5amHLLqwkatz5VM="},
        std::pair{"super-secret-jwt-token-with-at-least-32-characters-long",
                  "6MP8XGjE/1JGHSbp6UzVI0UTNR3Oboy+j4mfrGaWwvTXrqM3pBTWvqtexlZVWb2rC5VCjckdAj8cpsZFduIleA=="}}) {
    CHECK(legacy().encrypt(plain, random) == stored);
    CHECK(legacy().decrypt(stored).value() == plain);
    CHECK(current().decrypt(stored).value() == plain);
    CHECK(Encryption::is_legacy(stored));
  }
}

TEST_CASE("texts of every length come back, also those that fill a block [T-005]") {
  SystemRandom random;
  for (const std::size_t length : {0, 1, 15, 16, 17, 31, 32, 33, 1000}) {
    const std::string plain(length, 'x');
    CHECK(legacy().decrypt(legacy().encrypt(plain, random)).value() == plain);
    CHECK(current().decrypt(current().encrypt(plain, random)).value() == plain);
  }
}

TEST_CASE("values of the current format are those that other servers wrote, and no two are alike [T-006]") {
  CountingRandom random;
  const std::string stored = "g1:AAECAwQFBgcICQoLhUBooliRKsv1PcCCWuNtRig7FG4Sef8Z";
  CHECK(current().encrypt("postgres", random) == stored);
  CHECK(current().decrypt(stored).value() == "postgres");
  CHECK(current().encrypt("postgres", random) != stored);
  CHECK(!Encryption::is_legacy(stored));
}

TEST_CASE("a value of the current format of which a single character was changed is refused [T-006]") {
  SystemRandom random;
  const std::string stored = current().encrypt("postgres", random);
  for (std::size_t at = 3; at < stored.size(); ++at) {
    std::string changed = stored;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    CHECK(!current().decrypt(changed));
  }
}

TEST_CASE("what cannot be decrypted says why and nothing else") {
  SystemRandom random;
  const Encryption other("6543210987654321", std::string(32, 'o'), Encryption::Format::kCurrent);
  const std::string stored = current().encrypt("postgres", random);
  CHECK(other.decrypt(stored).error().message.find("DB_ENC_KEY_GCM") != std::string::npos);
  CHECK(legacy().decrypt(stored).error().message == "it needs DB_ENC_KEY_GCM, which is not set");
  CHECK(other.decrypt("v1QVng3N+pZd/0AEObABwg==").error().message.find("DB_ENC_KEY") != std::string::npos);
  for (const char* text : {"", "plain text", "g1:", "g1:AAAA", "v1QVng3N+pZd/0AEObABwg", "AAAA"})
    CHECK(current().decrypt(text).error().message == "it is not an encrypted value");
}

}  // namespace
}  // namespace rt::tenants
