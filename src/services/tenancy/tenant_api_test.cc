#include "services/tenancy/tenant_api.h"

#include "testing/test_registry.h"

namespace rt::tenancy {
namespace {

constexpr const char* kSettings =
    R"("region":"us-east-1","db_host":"127.0.0.1","db_port":"5432","db_name":"postgres","db_user":"u","db_password":"p")";

struct Node {
  Node() { t.start(); }

  http::Response ask(std::string method, std::string target, std::string body = "") {
    http::Request request{.method = std::move(method), .target = std::move(target)};
    if (!body.empty()) request.headers.push_back({"content-type", "application/json"});
    request.body = std::move(body);
    if (!TenantApi::access_for(request)) return {.status = 0};
    TenantApi api(t.directory, t.registry,
                  {.connected_users = [](std::string_view name) { return name == "b" ? 3 : 0; },
                   .disconnect_sockets = [this](std::string_view name) { disconnected.emplace_back(name); },
                   .run_elsewhere =
                       [](const std::function<void()>& job) {
                         job();
                         return true;
                       },
                   .database_health = [this](const std::string&,
                                             const std::function<void(DatabaseHealth)>& done) { done(database); },
                   .disconnect_database =
                       [this](const std::string& name, const std::function<void()>& done) {
                         let_go.push_back(name);
                         done();
                       },
                   .prepare_database =
                       [this](const std::string& name, const std::function<void(bool)>& done) {
                         prepared.push_back(name);
                         done(is_preparable);
                       },
                   .migrations = 81,
                   .region = region,
                   .node_name = "realtime@127.0.0.1"});
    std::promise<http::Response> done;
    api.handle(request, [&done](http::Response response) { done.set_value(std::move(response)); });
    return done.get_future().get();
  }
  std::string location_of(const http::Response& response) {
    for (const http::Header& header : response.headers) {
      if (header.name == "location") return header.value;
    }
    return "";
  }

  TestRegistry t;
  std::string region;
  std::vector<std::string> disconnected;
  DatabaseHealth database;
  std::vector<std::string> let_go;
  std::vector<std::string> prepared;
  bool is_preparable = true;
};

TEST_CASE("a tenant is shown with its limits and without its secrets [H-063] [H-065]") {
  Node node;
  const auto made =
      node.ask("PUT", "/api/tenants/ac%20me",
               R"({"tenant":{"jwt_secret":"never shown","jwt_jwks":{"keys":[]},"client_presence_window_ms":7,
                                 "private_only":true,"extensions":[{"type":"postgres_cdc_rls","settings":{)" +
                   std::string(kSettings) + "}}]}}");
  CHECK(made.status == 201);
  CHECK(node.location_of(made) == "/api/tenants/ac%20me");
  const auto tenant = node.t.directory.find("ac me");
  const std::string& inserted = tenant->inserted_at;
  const std::string shown =
      R"({"id":")" + tenant->id +
      R"(","external_id":"ac me","name":"ac me","max_concurrent_users":200,)"
      R"("max_channels_per_client":100,"max_events_per_second":100,"max_joins_per_second":100,)"
      R"("max_client_presence_events_per_window":null,"client_presence_window_ms":7,"presence_enabled":false,)"
      R"("private_only":true,"inserted_at":")" +
      inserted +
      R"(","extensions":[{"type":"postgres_cdc_rls","settings":{"poll_interval_ms":100,"poll_max_changes":100,)"
      R"("poll_max_record_bytes":1048576,"publication":"supabase_realtime",)"
      R"("slot_name":"supabase_realtime_replication_slot","region":"us-east-1","db_host":"7Wwy/7hIGy35MCo8jeVy+w==",)"
      R"("db_port":"m3KM2cjJ+t7C3443QcjOgA==","db_name":"v1QVng3N+pZd/0AEObABwg==",)"
      R"("db_user":")" +
      node.t.encryption.encrypt("u", node.t.random) + R"("},"inserted_at":")" + inserted + R"(","updated_at":")" +
      inserted + R"("}]})";
  CHECK(made.body == "{\"data\":" + shown + "}");
  CHECK(node.ask("GET", "/api/tenants/ac%20me").body == made.body);
  node.ask("PUT", "/api/tenants/b", R"({"tenant":{"jwt_secret":"s"}})");
  CHECK(node.ask("GET", "/api/tenants").body.starts_with("{\"data\":[" + shown + ",{"));
  CHECK(node.ask("GET", "/api/tenants/?x=y").status == 200);
  CHECK(node.ask("HEAD", "/realtime/v1/api/tenants").status == 200);
}

TEST_CASE("a tenant that is not there is not found, and other requests are not for these routes [H-061]") {
  Node node;
  CHECK(node.ask("GET", "/api/tenants/nobody").body == R"({"message":"not found"})");
  for (const char* path : {"/health", "/reload", "/shutdown"})
    CHECK(node.ask(path == std::string("/health") ? "GET" : "POST", std::string("/api/tenants/nobody") + path).status ==
          404);
  CHECK(node.ask("GET", "/api/tenants/%zz").status == 400);
  CHECK(node.ask("GET", "/api/tenants/%ff").status == 400);
  CHECK(node.ask("DELETE", "/api/tenants/a%00").status == 400);
  CHECK(node.ask("GET", "/api/tenants/b/other").status == 0);
  CHECK(node.ask("POST", "/api/tenants/b").status == 0);
  CHECK(node.ask("PUT", "/api/tenants").status == 0);
  CHECK(node.ask("GET", "/api/tenantsb").status == 0);
  CHECK(node.ask("GET", "/api/tenants//health").status == 0);
}

TEST_CASE("POST makes a tenant or changes the one of its name [H-062] [H-064]") {
  Node node;
  const std::string body = R"({"tenant":{"external_id":"acme","name":"ignored","jwt_secret":"s"}})";
  const auto made = node.ask("POST", "/api/tenants", body);
  CHECK(made.status == 201);
  CHECK(made.body.find(R"("name":"acme")") != std::string::npos);
  CHECK(node.ask("POST", "/api/tenants", body).status == 200);
  CHECK(node.t.directory.find("acme")->name == "ignored");
  CHECK(node.t.directory.size() == 1);
}

TEST_CASE("what is wrong with a tenant is said in the words of the API [H-067] [H-068] [H-069]") {
  Node node;
  const auto refused = [&](const char* method, const char* target, const std::string& body, int status) {
    const auto response = node.ask(method, target, body);
    CHECK(response.status == status);
    return response.body;
  };
  for (const char* body : {"{}", "[]", R"({"tenant":1})", "{\"tenant\":", R"("x")", "\xff"})
    CHECK(refused("POST", "/api/tenants", body, 400) == "\"Bad Request\"");
  CHECK(refused("PUT", "/api/tenants/a", "", 400) == "\"Bad Request\"");
  CHECK(refused("POST", "/api/tenants", R"({"tenant":{"jwt_secret":"s","external_id":" "}})", 422) ==
        R"({"errors":{"external_id":["can't be blank"]}})");
  CHECK(refused("PUT", "/api/tenants/a", R"({"tenant":{}})", 422) ==
        R"({"errors":{"jwt_secret":["either jwt_secret or jwt_jwks must be provided"]}})");
  CHECK(refused("POST", "/api/tenants",
                R"({"tenant":{"jwt_secret":"s","external_id":"a","extensions":[{"type":"postgres","settings":{
                   "region":"r","db_port":5432,"db_name":"n","db_user":"u","db_password":"p"}}]}})",
                422) == R"({"errors":{"extensions":[{"settings":["db_host can't be blank","db_port is invalid"]}]}})");
  CHECK(refused("PUT", ("/api/tenants/" + std::string(256, 'a')).c_str(), R"({"tenant":{"jwt_secret":"s"}})", 422) ==
        R"({"errors":{"external_id":["should be at most 255 bytes"]}})");
  CHECK(refused("PUT", "/api/tenants/%20", R"({"tenant":{"jwt_secret":"s"}})", 422) ==
        R"({"errors":{"external_id":["can't be blank"]}})");
  CHECK(node.t.directory.size() == 0);
}

TEST_CASE("a store that cannot be written is told with 503, and what is known is still shown") {
  Node node;
  node.ask("PUT", "/api/tenants/a", R"({"tenant":{"jwt_secret":"s"}})");
  node.t.execute("ALTER TABLE tenants RENAME TO elsewhere");
  CHECK(node.ask("PUT", "/api/tenants/a", R"({"tenant":{"suspend":true}})").status == 503);
  CHECK(node.ask("DELETE", "/api/tenants/a").status == 503);
  CHECK(node.ask("GET", "/api/tenants/a").status == 200);
}

TEST_CASE("deleting answers the same whether there was something to delete or not [H-072]") {
  Node node;
  node.ask("PUT", "/api/tenants/a", R"({"tenant":{"jwt_secret":"s"}})");
  CHECK(node.ask("DELETE", "/api/tenants/a").status == 204);
  CHECK(node.ask("GET", "/api/tenants/a").status == 404);
  CHECK(node.ask("DELETE", "/api/tenants/a").status == 204);
}

TEST_CASE("reload disconnects sockets, shutdown leaves them [H-073] [H-074]") {
  Node node;
  node.ask("PUT", "/api/tenants/a", R"({"tenant":{"jwt_secret":"s"}})");
  CHECK(node.ask("POST", "/api/tenants/a/shutdown").status == 204);
  CHECK(node.disconnected.empty());
  CHECK(node.ask("POST", "/api/tenants/a/reload").status == 204);
  CHECK(node.disconnected == std::vector<std::string>{"a"});
}

TEST_CASE("the health of a tenant without a database is good, and tells who is connected [H-076]") {
  Node node;
  node.ask("PUT", "/api/tenants/b", R"({"tenant":{"jwt_secret":"s"}})");
  CHECK(
      node.ask("GET", "/api/tenants/b/health").body ==
      R"({"data":{"healthy":true,"db_connected":false,"replication_connected":false,"connected_cluster":3,"region":null,)"
      R"("node":"realtime@127.0.0.1"}})");
  node.region = "eu";
  CHECK(node.ask("GET", "/api/tenants/b/health").body.find(R"("region":"eu")") != std::string::npos);
}

TEST_CASE("a database that is connected is healthy, and one that clients miss is not [H-076] [H-078]") {
  Node node;
  node.ask("PUT", "/api/tenants/b", R"({"tenant":{"jwt_secret":"s","migrations_ran":81}})");
  node.ask("PUT", "/api/tenants/idle", R"({"tenant":{"jwt_secret":"s","migrations_ran":81}})");
  const auto says = [&](const std::string& name, const char* what) {
    return node.ask("GET", "/api/tenants/" + name + "/health").body.find(what) != std::string::npos;
  };
  node.database = {.has_database = true, .is_connected = true};
  CHECK(says("b", R"("healthy":true,"db_connected":true)"));
  node.database.is_connected = false;
  CHECK(says("b", R"("healthy":false,"db_connected":false)"));
  CHECK(says("idle", R"("healthy":true,"db_connected":false)"));
}

TEST_CASE("a database that has not been prepared is, once its health is asked for [H-077]") {
  Node node;
  node.ask("PUT", "/api/tenants/idle", R"({"tenant":{"jwt_secret":"s"}})");
  node.prepared.clear();
  node.database.has_database = true;
  CHECK(node.ask("GET", "/api/tenants/idle/health").body.find(R"("healthy":false)") != std::string::npos);
  CHECK(node.prepared == std::vector<std::string>{"idle"});
}

TEST_CASE("the database of a new tenant is prepared before the answer, which tells where that fails [H-062]") {
  Node node;
  node.is_preparable = false;
  CHECK(node.ask("PUT", "/api/tenants/b", R"({"tenant":{"jwt_secret":"s"}})").status == 422);
  CHECK(node.prepared == std::vector<std::string>{"b"});
  CHECK(node.ask("PUT", "/api/tenants/b", R"({"tenant":{"name":"it is there"}})").status == 200);
  CHECK(node.prepared.size() == 1);
}

TEST_CASE("a shutdown lets the database go, a reload the sockets too [H-073] [H-074]") {
  Node node;
  node.ask("PUT", "/api/tenants/b", R"({"tenant":{"jwt_secret":"s"}})");
  CHECK(node.ask("POST", "/api/tenants/b/shutdown").status == 204);
  CHECK(node.let_go == std::vector<std::string>{"b"});
  CHECK(node.disconnected.empty());
  CHECK(node.ask("POST", "/api/tenants/b/reload").status == 204);
  CHECK(node.let_go.size() == 2);
  CHECK(node.disconnected == std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace rt::tenancy
