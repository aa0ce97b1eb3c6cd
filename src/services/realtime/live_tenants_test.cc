#include "services/realtime/live_tenants.h"

#include <doctest/doctest.h>

#include "testing/manual_clock.h"

namespace rt::realtime {
namespace {

using std::chrono::seconds;

constexpr seconds kVacantFor{600};

struct Fixture {
  ManualClock clock;
  LiveTenants tenants{[](std::string_view name) {
                        TenantRecord record;
                        record.external_id = std::string(name);
                        return std::make_shared<const TenantRecord>(record);
                      },
                      "", 2, clock};
};

TEST_CASE("a tenant is forgotten once it has had no user for long enough [M-022]") {
  Fixture f;
  f.tenants.of_host("acme")->add_user();
  f.clock.advance(2 * kVacantFor);
  CHECK(f.tenants.forget_vacant(kVacantFor) == 0);
  f.tenants.of_host("acme")->remove_user(f.clock.now());
  f.clock.advance(kVacantFor - seconds(1));
  CHECK(f.tenants.forget_vacant(kVacantFor) == 0);
  f.clock.advance(seconds(1));
  CHECK(f.tenants.forget_vacant(kVacantFor) == 1);
  CHECK(f.tenants.all().empty());
}

TEST_CASE("a user that comes back in time keeps a tenant and its counters [M-022]") {
  Fixture f;
  f.tenants.of_host("acme")->add_user();
  f.tenants.of_host("acme")->joins.add(0, 3);
  f.tenants.of_host("acme")->remove_user(f.clock.now());
  f.clock.advance(kVacantFor - seconds(1));
  f.tenants.of_host("acme")->add_user();
  f.clock.advance(kVacantFor);
  CHECK(f.tenants.forget_vacant(kVacantFor) == 0);
  CHECK(f.tenants.of_host("acme")->joins.total() == 3);
}

TEST_CASE("a tenant that somebody holds is not forgotten, however vacant it is") {
  Fixture f;
  auto held = f.tenants.of_host("acme");
  f.tenants.of_host("other");
  f.clock.advance(2 * kVacantFor);
  CHECK(f.tenants.forget_vacant(kVacantFor) == 1);
  CHECK(f.tenants.of_host("acme") == held);
  held.reset();
  CHECK(f.tenants.forget_vacant(kVacantFor) == 1);
}

TEST_CASE("what a tenant does is counted for each worker that it is on, and for no other") {
  Fixture f;
  const auto tenant = f.tenants.of_host("acme");
  tenant->usage(1).traffic.in.add(7);
  tenant->usage(1).errors.add("Code");
  std::size_t workers = 0;
  tenant->for_each_usage([&](const TenantUsage& usage) {
    ++workers;
    CHECK(usage.traffic.in.value() == 7);
  });
  CHECK(workers == 1);
}

TEST_CASE("errors are counted by code") {
  ErrorCounts errors;
  errors.add("A");
  errors.add("B");
  errors.add("A");
  std::uint64_t a = 0;
  std::uint64_t all = 0;
  errors.for_each([&](std::string_view code, std::uint64_t count) {
    all += count;
    if (code == "A") a = count;
  });
  CHECK(a == 2);
  CHECK(all == 3);
}

}  // namespace
}  // namespace rt::realtime
