// Verification of a token, against the HMAC that it cannot do without.
#include <benchmark/benchmark.h>

#include <string>

#include "domain/auth/hmac.h"
#include "domain/auth/jwt.h"

namespace {

constexpr std::string_view kSecret = "a secret that is long enough for HMAC";
constexpr rt::UnixSeconds kNow = 1'800'000'000;

// Claims as an auth server issues them, with metadata of so many bytes.
std::string token(std::size_t metadata_bytes) {
  return rt::auth::mint(kSecret, R"({"iss":"https://example.com/auth","sub":"8c6e2a0e-6a0b-4f0e-9a4e-1d0f0e6b8f11",)"
                                 R"("aud":"authenticated","iat":1799996400,"exp":1800000060,"role":"authenticated",)"
                                 R"("session_id":"2f6d1a5c","user_metadata":{"about":")" +
                                     std::string(metadata_bytes, 'x') + R"("}})");
}

void verify(benchmark::State& state) {
  const std::string text = token(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(rt::auth::verify(text, {.secret = kSecret}, kNow));
}

void hmac_only(benchmark::State& state) {
  const std::string text = token(static_cast<std::size_t>(state.range(0)));
  const std::string_view signed_text = std::string_view(text).substr(0, text.rfind('.'));
  for (auto _ : state) {
    benchmark::DoNotOptimize(rt::auth::hmac(rt::auth::HmacHash::kSha256, kSecret, signed_text));
  }
}

BENCHMARK(verify)->ArgName("metadata")->Arg(0)->Arg(1'000)->Arg(10'000);
BENCHMARK(hmac_only)->ArgName("metadata")->Arg(0)->Arg(1'000)->Arg(10'000);

}  // namespace
