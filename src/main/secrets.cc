#include "main/secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>

#include "base/base64.h"
#include "domain/tenants/encryption.h"

namespace rt::app {
namespace {

constexpr std::size_t kSecretBytes = 32;  // twice as many hex digits
constexpr std::size_t kFileBytesMax = 4096;

class File {
 public:
  File(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  int fd_;
};

tl::unexpected<Error> failed(std::string_view doing, const std::string& path) {
  return fail(std::string(doing) + " " + path + ": " + std::strerror(errno));
}

std::string path_of(const std::string& data_dir, const SecretName& name) { return data_dir + "/" + name.file; }

bool write_and_sync(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(fd) == 0;
}

// The directory remembers a new file only once it is synced itself.
Result<void> sync_directory(const std::string& path) {
  const File directory(path, O_RDONLY | O_DIRECTORY);
  if (!directory.is_open() || fsync(directory.fd()) != 0) return failed("syncing the directory", path);
  return {};
}

Result<std::string> make_secret(const std::string& data_dir, const SecretName& name, Random& random) {
  const std::string path = path_of(data_dir, name);
  std::string secret = name.make(random);
  const File file(path, O_WRONLY | O_CREAT | O_EXCL);
  if (!file.is_open()) return failed("making the secret", path);
  if (!write_and_sync(file.fd(), secret)) {
    const auto error = failed("writing the secret", path);
    unlink(path.c_str());
    return error;
  }
  if (const auto synced = sync_directory(data_dir); !synced) return fail(synced.error().message);
  return secret;
}

Result<void> resolve(std::optional<std::string>& secret, const SecretName& name, const Config& config, Random& random) {
  const std::string variable = name.variable;
  if (secret) {
    if (!secret->empty()) return {};
    return fail("env " + variable + " is empty: give it a secret, or unset it to have one made");
  }
  if (config.require_secrets) {
    return fail("env " + variable + " is not set, and --require-secrets forbids to make one: set " + variable);
  }
  auto kept = read_secret(config.data_dir, name);
  if (!kept) return fail(kept.error().message);
  if (*kept) {
    secret = std::move(**kept);
    return {};
  }
  auto made = make_secret(config.data_dir, name, random);
  if (!made) return fail(made.error().message);
  secret = std::move(*made);
  return {};
}

Result<void> make_data_directory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path directory(path);
  if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failed("making the data directory", path);
  if (!std::filesystem::is_directory(directory, error))
    return fail("the data directory " + path + " is not a directory");
  return {};
}

}  // namespace

std::string make_long_secret(Random& random) { return random.hex(kSecretBytes); }

std::string make_key_text(Random& random) {
  std::string bytes(tenants::Encryption::kLegacyKeyBytes / 4 * 3, '\0');
  random.fill(std::as_writable_bytes(std::span(bytes)));
  return base64url_encode(bytes);
}

Result<std::optional<std::string>> read_secret(const std::string& data_dir, const SecretName& name) {
  const std::string path = path_of(data_dir, name);
  const File file(path, O_RDONLY | O_NONBLOCK);  // a pipe must not hang us
  if (!file.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    return failed("reading the secret", path);
  }
  struct stat status{};
  if (fstat(file.fd(), &status) != 0) return failed("reading the secret", path);
  if (!S_ISREG(status.st_mode)) return fail("the secret " + path + " is not a file");
  // Not those of the group: volumes of containers grant them on every file, and take them back at each mount.
  if ((status.st_mode & S_IRWXO) != 0) {
    return fail("the secret " + path + " is open to every user of this machine: run `chmod 600 " + path + "`");
  }
  std::array<char, kFileBytesMax + 1> bytes;
  const ssize_t length = read(file.fd(), bytes.data(), bytes.size());
  if (length < 0) return failed("reading the secret", path);
  if (length > static_cast<ssize_t>(kFileBytesMax)) return fail("the secret " + path + " is too long for a secret");
  std::string secret(bytes.data(), static_cast<std::size_t>(length));
  while (secret.ends_with('\n') || secret.ends_with('\r')) secret.pop_back();
  if (secret.empty())
    return fail("the secret " + path + " is empty: remove the file, and the next start makes a new one");
  return secret;
}

Result<std::string> secret_of_server(const SecretName& name, const std::optional<std::string>& data_dir,
                                     const Environment& environment) {
  const std::string variable = name.variable;
  if (auto given = environment(variable)) {
    if (given->empty()) return fail("env " + variable + " is empty: give it the secret of the server, or unset it");
    return *std::move(given);
  }
  const std::string directory = data_dir.value_or(environment("DATA_DIR").value_or(Config{}.data_dir));
  auto kept = read_secret(directory, name);
  if (!kept) return fail(kept.error().message);
  if (*kept) return std::move(**kept);
  return fail("there is no secret in " + directory +
              " yet: start the server once, name its directory with --data-dir, " + "or set " + variable);
}

Result<void> resolve_secrets(Config& config, Random& random) {
  if (const auto made = make_data_directory(config.data_dir); !made) return made;
  if (const auto done = resolve(config.api_jwt_secret, kApiJwtSecret, config, random); !done) return done;
  if (const auto done = resolve(config.metrics_jwt_secret, kMetricsJwtSecret, config, random); !done) return done;
  if (const auto done = resolve(config.db_enc_key, kDbEncKey, config, random); !done) return done;
  if (config.db_enc_key->size() == tenants::Encryption::kLegacyKeyBytes) return {};
  return fail("the key in " + path_of(config.data_dir, kDbEncKey) + " has " +
              std::to_string(config.db_enc_key->size()) +
              " bytes and not 16: bring the file back that was there, or set DB_ENC_KEY");
}

}  // namespace rt::app
