#include "domain/tenants/feature_flags.h"

#include <doctest/doctest.h>

namespace rt::tenants {
namespace {

TenantRecord tenant(const std::string& name, const std::string& own = "{}") {
  return {.external_id = name, .feature_flags = own};
}

TEST_CASE("a flag that nobody made is off, whatever a tenant says; else the tenant goes over the flag [T-045]") {
  const FeatureFlags flags({{.name = "on", .enabled = true}, {.name = "off", .enabled = false}});
  CHECK(!flags.is_enabled("absent"));
  CHECK(!flags.is_enabled_for("absent", tenant("t", R"({"absent":true})")));
  CHECK(flags.is_enabled("on"));
  CHECK(flags.is_enabled_for("on", tenant("t")));
  CHECK(!flags.is_enabled_for("on", tenant("t", R"({"on":false})")));
  CHECK(!flags.is_enabled("off"));
  CHECK(!flags.is_enabled_for("off", tenant("t")));
  CHECK(flags.is_enabled_for("off", tenant("t", R"({"off":true})")));
  CHECK(!flags.is_enabled_for("off", tenant("t", R"({"off":"true"})")));
}

TEST_CASE("the share of a flag is exact at its ends, keeps who is in when it grows, and has the size it says [T-046]") {
  constexpr int kTenants = 2000;
  int in_before = 0;
  for (const std::int64_t percentage : {0, 1, 25, 50, 99, 100}) {
    const FeatureFlags flags({{.name = "f", .enabled = true, .rollout_percentage = percentage}});
    const FeatureFlags fewer({{.name = "f", .enabled = true, .rollout_percentage = percentage / 2}});
    int in = 0;
    for (int i = 0; i < kTenants; ++i) {
      const TenantRecord one = tenant("t_" + std::to_string(i));
      const bool is_in = flags.is_enabled_for("f", one);
      in += is_in ? 1 : 0;
      if (fewer.is_enabled_for("f", one)) CHECK(is_in);
    }
    CHECK(in >= in_before);
    CHECK(in == doctest::Approx(kTenants * static_cast<double>(percentage) / 100).epsilon(0.1).scale(kTenants));
    if (percentage == 0) CHECK(in == 0);
    if (percentage == 100) CHECK(in == kTenants);
    in_before = in;
  }
}

TEST_CASE("flags with the same bucket key are on for the same tenants, others for others [T-046]") {
  const auto half = [](std::string name, std::optional<std::string> key) {
    return FeatureFlag{
        .name = std::move(name), .enabled = true, .rollout_percentage = 50, .bucket_key = std::move(key)};
  };
  const FeatureFlags flags({half("a", "cohort"), half("b", "cohort"), half("c", std::nullopt)});
  int differ = 0;
  for (int i = 0; i < 200; ++i) {
    const TenantRecord one = tenant("t_" + std::to_string(i));
    CHECK(flags.is_enabled_for("a", one) == flags.is_enabled_for("b", one));
    differ += flags.is_enabled_for("a", one) != flags.is_enabled_for("c", one) ? 1 : 0;
  }
  CHECK(differ > 50);
}

TEST_CASE("tenants stay in their buckets with every version of the program") {
  CHECK(bucket_of("t_6", "rollout_flag") == 31);
  CHECK(bucket_of("t_7", "rollout_flag") == 0);
  CHECK(bucket_of("ab", "c") != bucket_of("a", "bc"));
}

TEST_CASE("a share below 0 or above 100 is refused, and a flag without a name [T-049]") {
  const auto fault = [](const FeatureFlag& flag) {
    const auto checked = check(flag);
    return checked ? "" : checked.error().message;
  };
  CHECK(fault({.name = "f", .rollout_percentage = -1}) == "rollout_percentage must be greater than or equal to 0");
  CHECK(fault({.name = "f", .rollout_percentage = 101}) == "rollout_percentage must be less than or equal to 100");
  CHECK(fault({.name = "f", .rollout_percentage = 0}) == "");
  CHECK(fault({.name = "f", .rollout_percentage = 100}) == "");
  CHECK(fault({.name = " "}) == "name can't be blank");
  CHECK(fault({.name = std::string(256, 'f')}) == "name should be at most 255 bytes");
}

}  // namespace
}  // namespace rt::tenants
