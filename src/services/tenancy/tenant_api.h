// What operators see and change of tenants over HTTP: `/api/tenants...` (http-api.md 7). Their token has been checked
// before.
//
// What only has to be looked up is answered at once, from the directory. What is written is written by the registry,
// and the answer comes when it is done.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/http/request.h"
#include "services/tenancy/directory.h"
#include "services/tenancy/registry.h"

namespace rt::tenancy {

// What is known of a tenant's database.
struct DatabaseHealth {
  bool has_database = false;  // the tenant has one
  bool is_connected = false;
  bool is_streaming = false;  // what is written there is broadcast as it is committed
};

// What the API asks of the node; all of it thread-safe. What takes a `done` calls it once, on any thread.
struct TenantApiNode {
  std::function<std::int64_t(std::string_view external_id)> connected_users;
  std::function<void(std::string_view external_id)> disconnect_sockets;  // of that tenant, all
  // Runs a job that takes longer than a worker has, on another thread. False: too many wait.
  std::function<bool(std::function<void()>)> run_elsewhere;
  std::function<void(const std::string& external_id, std::function<void(DatabaseHealth)> done)> database_health;
  std::function<void(const std::string& external_id, std::function<void()> done)> disconnect_database;
  // Makes the schema in its database, or brings it up to date. False: it could not be done.
  std::function<void(const std::string& external_id, std::function<void(bool)> done)> prepare_database;
  std::int64_t migrations = 0;  // a tenant's database that has so many needs nothing
  std::string region;           // of this node; empty: none
  std::string node_name;
};

class TenantApi {  // thread-safe
 public:
  using Answer = std::function<void(http::Response)>;

  TenantApi(const Directory& directory, Registry& registry, TenantApiNode node)
      : directory_(directory), registry_(registry), node_(std::move(node)) {}

  // kLook: at one tenant. kManage: change one, or see which there are.
  enum class Access : std::uint8_t { kLook, kManage };
  // What one must be allowed to do for the request; nullopt: it is for none of these routes.
  static std::optional<Access> access_for(const http::Request& request);
  // Whom it is about, as far as its path says, decoded.
  static std::optional<std::string> tenant_of(const http::Request& request);

  // Of a request that is. `answer` is called once: before this returns, or later on another thread.
  void handle(const http::Request& request, const Answer& answer);

 private:
  void list(const Answer& answer);
  void tell_health(const std::string& external_id, const Answer& answer);
  void put(const http::Request& request, std::string external_id, bool is_whole, const Answer& answer);

  const Directory& directory_;
  Registry& registry_;
  const TenantApiNode node_;
};

}  // namespace rt::tenancy
