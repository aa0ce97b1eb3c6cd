#include "domain/auth/public_key.h"

#include <doctest/doctest.h>

#include <string>

#include "base/base64.h"

namespace rt::auth {
namespace {

std::string decoded(std::string_view text) {
  const auto bytes = base64url_decode(text);
  REQUIRE(bytes);
  return *bytes;
}

constexpr std::string_view kClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

TEST_CASE("the RSA example of RFC 7515 A.2 verifies") {
  const auto key = PublicKey::rsa(
      decoded("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SF"
              "d2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo"
              "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkM"
              "Ls91kzk2PAcDTW9gb54h4FRWyuXpoQ"),
      decoded("AQAB"));
  const std::string text = "eyJhbGciOiJSUzI1NiJ9." + std::string(kClaims);
  std::string signature = decoded(
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdb"
      "F9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383"
      "LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWy"
      "wlVmtVrBp0igcN_IoypGlUPQGe77Rw");
  REQUIRE(key);
  CHECK(key->verify(Algorithm::kRs256, text, signature));
  CHECK(!key->verify(Algorithm::kRs384, text, signature));
  CHECK(!key->verify(Algorithm::kRs256, text + ".", signature));
  signature.front() ^= 1;
  CHECK(!key->verify(Algorithm::kRs256, text, signature));
}

TEST_CASE("the EC example of RFC 7515 A.3 verifies") {
  const auto key = PublicKey::ec(Curve::kP256, decoded("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                                 decoded("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
  const std::string text = "eyJhbGciOiJFUzI1NiJ9." + std::string(kClaims);
  const std::string signature =
      decoded("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  REQUIRE(key);
  CHECK(key->verify(Algorithm::kEs256, text, signature));
  CHECK(!key->verify(Algorithm::kEs256, text + ".", signature));
  CHECK(!key->verify(Algorithm::kEs256, text, signature.substr(32) + signature.substr(0, 32)));
}

TEST_CASE("the Ed25519 example of RFC 8037 A.4 verifies") {
  const auto key = PublicKey::edwards(Curve::kEd25519, decoded("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
  constexpr std::string_view kText = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
  const std::string signature =
      decoded("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  REQUIRE(key);
  CHECK(key->verify(Algorithm::kEdDsa, kText, signature));
  CHECK(key->verify(Algorithm::kEd25519, kText, signature));
  CHECK(!key->verify(Algorithm::kEdDsa, kText.substr(1), signature));
}

}  // namespace
}  // namespace rt::auth
