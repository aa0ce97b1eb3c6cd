// A Postgres of a run's own that is fit for a tenant: a fresh cluster in a temporary directory, on loopback, with the
// defaults that Postgres itself has, and in it a database with our schema and a login with the rights that
// docs/operating.md lists.
//
// Postgres refuses to run as root, so there it runs as the user `postgres`, whom the package makes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/child.h"

namespace rt::load {

class PostgresProcess {
 public:
  // `program` is the server's, which prints the schema. Returns when the database is made.
  static Result<std::unique_ptr<PostgresProcess>> start(const std::string& program, const Cores& cores);

  ~PostgresProcess();
  PostgresProcess(const PostgresProcess&) = delete;
  PostgresProcess& operator=(const PostgresProcess&) = delete;

  // In the tenant's database, as the superuser.
  Result<void> sql(std::string_view text);
  // The same while the caller goes on; one at a time.
  Result<std::unique_ptr<Child>> begin_sql(std::string_view text);
  // For a session in the tenant's database, as the superuser, with libpq.
  std::string connection_string() const;
  // For a server that seeds its tenant: where the database is.
  std::vector<std::string> seed_env() const;
  // The extension of a tenant that names it, as /api/tenants takes it.
  std::string extension(int pool, std::string_view policy_checks = "probes") const;

  // CPU time of all its processes; of those that have ended in ticks of 10 ms.
  Result<std::uint64_t> cpu_ns() const;

 private:
  struct Command {
    std::vector<std::string> words;
    uid_t user = 0;  // 0: ours
    gid_t group = 0;
    std::string output = "log";  // a file of the directory
  };

  PostgresProcess(Cores cores, std::filesystem::path directory);

  Result<void> create();
  Result<void> start_on_free_port();
  Result<bool> serves();  // false: the port was taken
  Result<void> make_database(const std::string& program);
  Command file_command(const std::string& database, const std::string& name) const;
  Result<void> run_file(const std::string& database, const std::string& name);
  Result<std::unique_ptr<Child>> spawn(Command command) const;
  Result<void> run(Command command);
  tl::unexpected<Error> failed(const std::string& what) const;
  void write(const std::string& name, std::string_view text) const;
  std::string read(const std::string& name) const;
  Command as_postgres(std::vector<std::string> words) const;

  const Cores cores_;
  const std::filesystem::path directory_;
  uid_t user_ = 0;
  gid_t group_ = 0;
  std::uint16_t port_ = 0;
  std::unique_ptr<Child> child_;
};

}  // namespace rt::load
