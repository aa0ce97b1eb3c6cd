#include "domain/auth/jwt.h"

#include <doctest/doctest.h>

#include <limits>
#include <optional>
#include <ostream>

#include "base/base64.h"
#include "domain/auth/hmac.h"

namespace rt {

// So that a failed comparison can be read.
std::ostream& operator<<(std::ostream& out, TokenFaultKind kind) { return out << "fault " << static_cast<int>(kind); }

}  // namespace rt

namespace rt::auth {
namespace {

constexpr UnixSeconds kNow = 1'800'000'000;
constexpr std::string_view kSecret = "a secret that is long enough for HMAC";
constexpr std::string_view kHeader = R"({"alg":"HS256","typ":"JWT"})";
constexpr std::string_view kClaims = R"({"role":"authenticated","sub":"u1","exp":1800000060})";

std::string sign(std::string_view header, std::string_view claims, HmacHash hash = HmacHash::kSha256) {
  const std::string text = base64url_encode(header) + "." + base64url_encode(claims);
  return text + "." + base64url_encode(hmac(hash, kSecret, text));
}

std::string token_of(std::string_view claims) { return sign(kHeader, claims); }

// `"role":"r","exp":<in the future>` and more.
std::string token_with(const std::string& member) {
  return token_of(R"({"role":"r","exp":1800000060,)" + member + "}");
}

std::string token_with_exp(const std::string& exp) { return token_of(R"({"role":"r","exp":)" + exp + "}"); }

Result<Claims, TokenFault> verified(std::string_view token) { return verify(token, {.secret = kSecret}, kNow); }

// nullopt: the token is good.
std::optional<TokenFaultKind> fault_of(std::string_view token) {
  const auto claims = verified(token);
  return claims ? std::nullopt : std::optional(claims.error().kind);
}

std::optional<TokenFaultKind> fault_under(const std::string& claim, const std::string& expected_json,
                                          const std::string& token) {
  const std::vector<ClaimValidator> validators{{claim, expected_json}};
  const auto claims = verify(token, {.secret = kSecret, .validators = &validators}, kNow);
  return claims ? std::nullopt : std::optional(claims.error().kind);
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const unsigned char byte : text) {
    out += '%';
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789ABCDEF"[byte & 15];
  }
  return out;
}

TEST_CASE("the example of RFC 7515 A.1 verifies until it expires") {
  const auto secret =
      base64url_decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
  constexpr std::string_view kToken =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
      ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
      ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  const VerificationRules rules{.secret = *secret, .requires_role_and_exp = false};
  const auto claims = verify(kToken, rules, 1'300'819'379);
  REQUIRE(claims);
  CHECK(claims->expires_at == 1'300'819'380);
  CHECK(claims->json == "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
  CHECK(verify(kToken, rules, 1'300'819'380).error().kind == TokenFaultKind::kExpired);
}

TEST_CASE("a good token yields its role, its subject, its end and its claims as they were spelled") {
  const auto claims = verified(token_of(" {\"sub\":\"u1\", \"exp\" : 1800000060,\"role\":\"\\u0061b\",\"x\":1.50} "));
  REQUIRE(claims);
  CHECK(claims->role == "ab");
  CHECK(claims->subject == "u1");
  CHECK(claims->expires_at == 1'800'000'060);
  CHECK(claims->json == "{\"sub\":\"u1\", \"exp\" : 1800000060,\"role\":\"\\u0061b\",\"x\":1.50}");
}

TEST_CASE("a minted token verifies, with its own secret only") {
  const std::string token = mint(kSecret, kClaims);
  CHECK(token == token_of(kClaims));
  CHECK(verified(token)->role == "authenticated");
  CHECK(verify(token, {.secret = "another"}, kNow).error().kind == TokenFaultKind::kBadSignature);
}

TEST_CASE("no byte of a token can be changed, not even its unused bits") {
  const std::string token = mint(kSecret, kClaims);
  for (std::size_t at = 0; at < token.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string tampered = token;
      tampered[at] = static_cast<char>(byte);
      if (tampered == token) continue;
      INFO("byte " << byte << " at " << at);
      REQUIRE(!verified(tampered));
    }
  }
}

TEST_CASE("no part of a token can be cut off, doubled or left out") {
  const std::string token = mint(kSecret, kClaims);
  for (std::size_t length = 0; length < token.size(); ++length) REQUIRE(!verified(token.substr(0, length)));
  for (std::size_t from = 1; from < token.size(); ++from) REQUIRE(!verified(token.substr(from)));
  const std::string signed_text = token.substr(0, token.rfind('.'));
  CHECK(fault_of(signed_text) == TokenFaultKind::kMalformed);
  CHECK(fault_of(signed_text + ".") == TokenFaultKind::kBadSignature);
  CHECK(fault_of(token + ".") == TokenFaultKind::kMalformed);
  CHECK(fault_of(token + "=") == TokenFaultKind::kBadSignature);
  CHECK(fault_of(token + "AAAA") == TokenFaultKind::kBadSignature);
}

TEST_CASE("each HS algorithm is its own: a signature made with another one is bad") {
  const std::pair<const char*, HmacHash> algorithms[] = {
      {"HS256", HmacHash::kSha256}, {"HS384", HmacHash::kSha384}, {"HS512", HmacHash::kSha512}};
  for (const auto& [named, named_hash] : algorithms) {
    for (const auto& [used, used_hash] : algorithms) {
      CAPTURE(named);
      CAPTURE(used);
      const auto fault = fault_of(sign(R"({"alg":")" + std::string(named) + "\"}", kClaims, used_hash));
      if (named_hash == used_hash) CHECK(!fault);
      if (named_hash != used_hash) CHECK(fault == TokenFaultKind::kBadSignature);
    }
  }
}

TEST_CASE("any other algorithm has no key, whatever the header promises") {
  for (const char* header : {
           R"({"alg":"none"})",
           R"({"alg":"None"})",
           R"({"alg":""})",
           R"({"alg":"hs256"})",
           R"({"alg":"HS1"})",
           R"({"alg":null})",
           R"({"alg":256})",
           R"({"alg":["HS256"]})",
           R"({})",
           R"({"typ":"JWT"})",
           R"({"alg":"RS256"})",
           R"({"alg":"RS256","kid":"k1"})",
           R"({"alg":"ES256","kid":"k1"})",
           R"({"alg":"EdDSA","kid":7})",
           R"({"alg":"HS256","alg":"none"})",
       }) {
    CAPTURE(header);
    CHECK(fault_of(sign(header, kClaims)) == TokenFaultKind::kNoKey);
  }
  const std::string unsigned_token = base64url_encode(R"({"alg":"none"})") + "." + base64url_encode(kClaims) + ".";
  CHECK(fault_of(unsigned_token) == TokenFaultKind::kNoKey);
}

TEST_CASE("a header needs no typ and may name a key that we do not know") {
  CHECK(!fault_of(sign(R"({"alg":"HS256"})", kClaims)));
  CHECK(!fault_of(sign(R"({"alg":"HS256","kid":"k1"})", kClaims)));
  CHECK(!fault_of(sign(R"({"kid":null,"typ":7,"\u0061lg":"HS\u003256"})", kClaims)));
}

TEST_CASE("an empty secret signs nothing") {
  const std::string token = mint("", kClaims);
  CHECK(verify(token, {.secret = ""}, kNow).error().kind == TokenFaultKind::kNoKey);
}

TEST_CASE("what is not three parts with JSON claims is malformed") {
  const std::string header = base64url_encode(kHeader);
  const std::string claims = base64url_encode(kClaims);
  const std::string texts[] = {
      "",
      ".",
      "..",
      "...",
      "not-a-jwt",
      "sb_publishable_x",
      header + "." + claims,
      header + ".." + claims,
      header + "." + claims + "." + claims + "." + claims,
      header + ".!." + claims,                // not base64url
      header + "." + claims + "=." + claims,  // padded
      header + "." + claims + "+/.x",         // of the other alphabet
      token_of(""),
      token_of("{"),
      token_of("x"),
      token_of("{} {}"),
      token_of("{\"a\":\"\xff\"}"),
  };
  for (const std::string& text : texts) {
    CAPTURE(text);
    CHECK(fault_of(text) == TokenFaultKind::kMalformed);
  }
}

TEST_CASE("a token longer than 64 KiB is malformed unread") {
  const auto padded_to = [](std::size_t bytes) {
    return mint(kSecret, kClaims).append(std::string(bytes, ' '), 0, bytes);
  };
  const std::string token = mint(kSecret, kClaims);
  CHECK(!fault_of(padded_to(64 * 1024 - token.size())));
  CHECK(fault_of(padded_to(64 * 1024 - token.size() + 1)) == TokenFaultKind::kMalformed);
}

TEST_CASE("claims and header have to be objects") {
  for (const char* json : {"[]", "\"x\"", "7", "null", "true"}) {
    CAPTURE(json);
    CHECK(fault_of(token_of(json)) == TokenFaultKind::kOther);
    CHECK(fault_of(sign(json, kClaims)) == TokenFaultKind::kOther);
  }
  CHECK(fault_of(sign("x", kClaims)) == TokenFaultKind::kOther);
  CHECK(fault_of("!." + base64url_encode(kClaims) + ".x") == TokenFaultKind::kOther);
}

TEST_CASE("a token may be percent-encoded once and broken by white space anywhere") {
  const std::string token = mint(kSecret, kClaims);
  CHECK(!fault_of(percent_encoded(token)));
  CHECK(fault_of(percent_encoded(percent_encoded(token))) == TokenFaultKind::kMalformed);
  std::string spaced;
  for (const char c : token) spaced += std::string(1, c) + " \t\r\n\v\f";
  CHECK(!fault_of(spaced));
  CHECK(!fault_of("%20" + token + "%0a"));
  CHECK(fault_of(token + '\0') == TokenFaultKind::kBadSignature);
  CHECK(fault_of(token + "\xc2\xa0") == TokenFaultKind::kBadSignature);
}

TEST_CASE("a broken percent sequence is told apart from every other fault") {
  const std::string token = mint(kSecret, kClaims);
  CHECK(fault_of(token + "%") == TokenFaultKind::kMalformedPercent);
  CHECK(fault_of("%zz" + token) == TokenFaultKind::kMalformedPercent);
  CHECK(fault_of("%4") == TokenFaultKind::kMalformedPercent);
}

TEST_CASE("a token expires in the second that exp names, and says for how long it has") {
  CHECK(!fault_of(token_with_exp("1800000001")));
  for (const auto& [exp, seconds] : {std::pair{"1800000000", 0}, {"1799999997", 3}, {"0", 1'800'000'000}}) {
    CAPTURE(exp);
    const auto claims = verified(token_with_exp(exp));
    REQUIRE(!claims);
    CHECK(claims.error().kind == TokenFaultKind::kExpired);
    CHECK(claims.error().expired_for_seconds == seconds);
  }
  CHECK(describe(verified(token_with_exp("1799999997")).error()) == "Token has expired 3 seconds ago");
}

TEST_CASE("exp may have decimals and is rounded to the nearest second") {
  CHECK(verified(token_with_exp("1800000060.4"))->expires_at == 1'800'000'060);
  CHECK(verified(token_with_exp("1800000060.5"))->expires_at == 1'800'000'061);
  CHECK(verified(token_with_exp("1.80000006e9"))->expires_at == 1'800'000'060);
  // Still in the future, but it rounds to now: whoever asked has to look.
  CHECK(verified(token_with_exp("1800000000.25"))->expires_at == kNow);
  CHECK(fault_of(token_with_exp("1800000000.0")) == TokenFaultKind::kOther);
  CHECK(fault_of(token_with_exp("1799999999.5")) == TokenFaultKind::kOther);
  CHECK(fault_of(token_with_exp("1e3")) == TokenFaultKind::kOther);
}

TEST_CASE("an exp far away stays within what clocks can count") {
  constexpr UnixSeconds kYear2242 = UnixSeconds{1} << 33;
  for (const char* exp : {"8589934593", "9223372036854775807", "9223372036854775808", "1e300", "1e999"}) {
    CAPTURE(exp);
    CHECK(verified(token_with_exp(exp))->expires_at == kYear2242);
  }
  for (const char* exp : {"-9223372036854775808", "-9223372036854775809", "-1"}) {
    CAPTURE(exp);
    CHECK(fault_of(token_with_exp(exp)) == TokenFaultKind::kExpired);
  }
  CHECK(fault_of(token_with_exp("-1e999")) == TokenFaultKind::kOther);
}

TEST_CASE("exp and iat have to be numbers") {
  for (const char* value : {"\"1800000060\"", "null", "true", "[1800000060]", "{}"}) {
    CAPTURE(value);
    CHECK(fault_of(token_with_exp(value)) == TokenFaultKind::kOther);
    CHECK(fault_of(token_with("\"iat\":" + std::string(value))) == TokenFaultKind::kOther);
  }
  CHECK(!fault_of(token_with("\"iat\":1799999999.75")));
  CHECK(!fault_of(token_with("\"iat\":9999999999")));  // a clock ahead of ours is no fault
}

TEST_CASE("role and exp are required of clients, and not of operators") {
  const VerificationRules for_operators{.secret = kSecret, .requires_role_and_exp = false};
  for (const char* claims : {"{}", R"({"role":"r"})", R"({"exp":1800000060})"}) {
    CAPTURE(claims);
    CHECK(fault_of(token_of(claims)) == TokenFaultKind::kMissingClaims);
    CHECK(verify(token_of(claims), for_operators, kNow));
  }
  CHECK(verify(token_of(R"({"exp":1799999999})"), for_operators, kNow).error().kind == TokenFaultKind::kExpired);
}

TEST_CASE("a token on the blocklist is refused, however it is spelled") {
  const std::string token = mint(kSecret, kClaims);
  const std::vector<std::string> blocklist{"another", token};
  const VerificationRules rules{.secret = kSecret, .blocklist = &blocklist};
  for (const std::string& spelled :
       {token, percent_encoded(token), " " + token + "%0a", token.substr(0, 9) + " " + token.substr(9)}) {
    CHECK(verify(spelled, rules, kNow).error().kind == TokenFaultKind::kOther);
  }
  CHECK(verify(token_with(R"("a":1)"), rules, kNow));
}

TEST_CASE("a role or subject that is no string is present but empty") {
  const auto claims = verified(token_of(R"({"role":null,"sub":7,"exp":1800000060})"));
  REQUIRE(claims);
  CHECK(claims->role == "");
  CHECK(claims->subject == "");
}

TEST_CASE("the last of equal claims counts, for times as for roles") {
  CHECK(verified(token_of(R"({"role":"a","exp":1,"exp":1800000060,"role":"b"})"))->role == "b");
  CHECK(fault_of(token_of(R"({"role":"a","exp":1800000060,"exp":1})")) == TokenFaultKind::kExpired);
}

TEST_CASE("a claim with a validator must have its value as JSON, or be absent") {
  CHECK(!fault_under("iss", "\"x\"", token_with(R"("iss":"\u0078")")));
  CHECK(!fault_under("iss", "\"x\"", token_with(R"("aud":"y")")));
  CHECK(fault_under("iss", "\"x\"", token_with(R"("iss":"y")")) == TokenFaultKind::kOther);
  CHECK(fault_under("iss", "\"x\"", token_with(R"("iss":null)")) == TokenFaultKind::kOther);
  CHECK(fault_under("n", "1", token_with(R"("n":"1")")) == TokenFaultKind::kOther);
  CHECK(fault_under("n", "1", token_with(R"("n":2)")) == TokenFaultKind::kOther);
  CHECK(!fault_under("n", "1", token_with(R"("n":1.0)")));
  CHECK(!fault_under("n", "null", token_with(R"("n":null)")));
  CHECK(fault_under("n", "true", token_with(R"("n":false)")) == TokenFaultKind::kOther);
}

TEST_CASE("validators look into arrays and objects") {
  const std::string expected = R"( {"a":[1,{"b":"x"}],"c":{}} )";
  CHECK(!fault_under("o", expected, token_with(R"("o":{"c":{ },"a":[1.0, {"b":"\u0078"}]})")));
  for (const char* other : {R"({"a":[1,{"b":"x"}]})", R"({"a":[1,{"b":"x"}],"c":{},"d":1})", R"({"a":[1],"c":{}})",
                            R"({"a":[1,{"b":"x"},2],"c":{}})", R"({"a":[{"b":"x"},1],"c":{}})", R"([])",
                            R"({"a":[1,{"b":"x"}],"c":{"d":1}})"}) {
    CAPTURE(other);
    CHECK(fault_under("o", expected, token_with("\"o\":" + std::string(other))) == TokenFaultKind::kOther);
  }
}

// Each token has the fault that is named and all that are found later.
TEST_CASE("the first fault in the order of the steps is the one that is told") {
  const std::string bad_claims = R"({"exp":1799999999,"iat":"x"})";
  CHECK(fault_of("%zz.") == TokenFaultKind::kMalformedPercent);
  CHECK(fault_of("x." + base64url_encode("{") + ".x") == TokenFaultKind::kMalformed);
  CHECK(fault_of(base64url_encode("[]") + "." + base64url_encode("{") + ".x") == TokenFaultKind::kMalformed);
  CHECK(fault_of(base64url_encode("[]") + "." + base64url_encode(bad_claims) + ".x") == TokenFaultKind::kOther);
  CHECK(fault_of(base64url_encode(R"({"alg":"none"})") + "." + base64url_encode(bad_claims) + ".x") ==
        TokenFaultKind::kNoKey);
  CHECK(fault_of(base64url_encode(kHeader) + "." + base64url_encode(bad_claims) + ".x") ==
        TokenFaultKind::kBadSignature);
  CHECK(fault_of(token_of(bad_claims)) == TokenFaultKind::kExpired);
  CHECK(fault_of(token_of(R"({"exp":1800000060,"iat":"x"})")) == TokenFaultKind::kOther);
  CHECK(fault_under("iss", "1", token_of(R"({"exp":1800000060,"iss":2})")) == TokenFaultKind::kOther);
  CHECK(fault_of(token_of(R"({"exp":1800000060})")) == TokenFaultKind::kMissingClaims);
}

TEST_CASE("a token that was good is confirmed until its last second") {
  const Claims claims{.role = "r", .subject = {}, .expires_at = kNow + 2, .json = "{}"};
  CHECK(confirm(claims, kNow + 1));
  for (const int late : {0, 5}) {
    const auto outcome = confirm(claims, kNow + 2 + late);
    REQUIRE(!outcome);
    CHECK(outcome.error().kind == TokenFaultKind::kExpired);
    CHECK(outcome.error().expired_for_seconds == late);
  }
}

}  // namespace
}  // namespace rt::auth
