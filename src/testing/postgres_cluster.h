// A Postgres server of a test program's own: a fresh cluster in a temporary directory, on loopback, with TLS.
//
// Postgres refuses to run as root, so there it runs as the user `postgres`, whom Debian's package makes.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace rt::testing {

class PostgresCluster {
 public:
  static constexpr const char* kPassword = "password of the superuser";

  // The one of this program, started when it is first asked for, stopped and removed with the program.
  static PostgresCluster& shared();

  PostgresCluster();
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  const std::string& port() const { return port_; }
  const std::string& socket_directory() const { return directory_; }
  // Its certificate, which is for localhost and signed by itself; and another such one that it does not have.
  std::string certificate() const { return directory_ + "/server.pem"; }
  std::string other_certificate() const { return directory_ + "/other.pem"; }
  // What psql prints, without alignment: rows as lines, columns separated by |. As the superuser.
  std::string sql(const std::string& text) const;
  // `ALTER SYSTEM SET name = value`, and waits until the server shows it.
  void set(const std::string& name, const std::string& value) const;
  // The same until the end of its scope.
  class Setting {
   public:
    Setting(const PostgresCluster& cluster, std::string name, const std::string& value);
    ~Setting();
    Setting(const Setting&) = delete;
    Setting& operator=(const Setting&) = delete;

   private:
    const PostgresCluster& cluster_;
    const std::string name_;
    const std::string before_;
  };
  // Every connection ends at once. Starts again on the same port.
  void restart();

 private:
  void create() const;
  void start();
  void stop();
  std::string log() const;
  bool is_ready() const;
  void as_postgres(std::vector<std::string> command, std::string* output = nullptr) const;
  pid_t spawn_as_postgres(std::vector<std::string> command, int output) const;

  std::string directory_;
  std::string port_;
  pid_t server_ = -1;
};

}  // namespace rt::testing
