#include "main/secrets.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

#include "testing/temporary_directory.h"

namespace rt::app {
namespace {

struct DataDirectory {
  DataDirectory() { config.data_dir = parent.file("var/data"); }

  std::string file(const std::string& leaf) const { return config.data_dir + "/" + leaf; }
  void put(const std::string& leaf, const std::string& text, mode_t mode = 0600) const {
    std::filesystem::create_directories(config.data_dir);
    std::ofstream(file(leaf)) << text;
    chmod(file(leaf).c_str(), mode);
  }
  std::string error() {
    const auto resolved = resolve_secrets(config, random);
    return resolved ? "" : resolved.error().message;
  }

  TemporaryDirectory parent;
  Config config;
  SystemRandom random;
};

mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(stat(path.c_str(), &status) == 0);
  return status.st_mode & 0777;
}

TEST_CASE("secrets that nobody gave are made once, and only their owner can read them [C-004]") {
  DataDirectory data;
  REQUIRE(data.error() == "");
  const std::string secret = *data.config.api_jwt_secret;
  CHECK(std::regex_match(secret, std::regex("[0-9a-f]{64}")));
  CHECK(*data.config.metrics_jwt_secret != secret);
  CHECK(mode_of(data.config.data_dir) == 0700);
  CHECK(mode_of(data.file("api_jwt_secret")) == 0600);
  CHECK(mode_of(data.file("metrics_jwt_secret")) == 0600);

  data.config.api_jwt_secret.reset();
  REQUIRE(data.error() == "");
  CHECK(data.config.api_jwt_secret == secret);
}

TEST_CASE("a given secret is used and nothing is written for it") {
  DataDirectory data;
  data.config.api_jwt_secret = "a";
  data.config.metrics_jwt_secret = "b";
  CHECK(data.error() == "");
  CHECK(data.config.api_jwt_secret == "a");
  CHECK(!std::filesystem::exists(data.file("api_jwt_secret")));
}

TEST_CASE("an empty secret is refused") {
  DataDirectory data;
  data.config.metrics_jwt_secret = "";
  CHECK(data.error() == "env METRICS_JWT_SECRET is empty: give it a secret, or unset it to have one made");
}

TEST_CASE("with --require-secrets a missing secret stops the boot and is named [C-004]") {
  DataDirectory data;
  data.config.require_secrets = true;
  data.config.api_jwt_secret = "a";
  CHECK(data.error() ==
        "env METRICS_JWT_SECRET is not set, and --require-secrets forbids to make one: set METRICS_JWT_SECRET");
}

TEST_CASE("a secret that every user can read is refused with the remedy") {
  DataDirectory data;
  data.put("api_jwt_secret", "s", 0644);
  CHECK(data.error().ends_with("is open to every user of this machine: run `chmod 600 " + data.file("api_jwt_secret") +
                               "`"));
  data.put("api_jwt_secret", "s", 0660);
  CHECK(data.error() == "");
}

TEST_CASE("a secret file that is empty, too long or no file is refused") {
  DataDirectory data;
  data.put("api_jwt_secret", "\n");
  CHECK(data.error().ends_with("is empty: remove the file, and the next start makes a new one"));
  data.put("api_jwt_secret", std::string(5000, 's'));
  CHECK(data.error().ends_with("is too long for a secret"));
  std::filesystem::remove(data.file("api_jwt_secret"));
  std::filesystem::create_directory(data.file("api_jwt_secret"));
  CHECK(data.error().ends_with("is not a file"));
}

TEST_CASE("a secret that an operator wrote with a line break is read without it") {
  DataDirectory data;
  data.put("api_jwt_secret", "by hand\n");
  CHECK(data.error() == "");
  CHECK(data.config.api_jwt_secret == "by hand");
}

TEST_CASE("a data directory that cannot be made is named") {
  DataDirectory data;
  data.config.data_dir = "/proc/nowhere/data";
  CHECK(data.error().starts_with("making the data directory /proc/nowhere/data: "));
  data.config.data_dir = "/proc/version";
  CHECK(data.error() == "the data directory /proc/version is not a directory");
}

}  // namespace
}  // namespace rt::app
