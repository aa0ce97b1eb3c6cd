#include "main/token_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <ostream>

#include "base/utf8.h"
#include "domain/auth/jwt.h"
#include "main/command_line.h"
#include "main/secrets.h"
#include "protocol/json/value.h"

namespace rt::app {
namespace {

using std::chrono::seconds;

constexpr seconds kLifetimeMax = std::chrono::hours(24 * 365 * 100);

constexpr std::string_view kHelp =
    "Usage: realtime token [flags]\n\n"
    "Prints a token signed with API_JWT_SECRET: the one of the environment, else the one that the server made and\n"
    "keeps in its data directory.\n\n"
    "  --role ROLE           role claim  [authenticated; with --metrics none]\n"
    "  --sub SUBJECT         sub claim\n"
    "  --expires-in TIME     lifetime as 45s, 30m, 1h or 7d  [1h]\n"
    "  --claim NAME=VALUE    any claim, may be repeated; VALUE is JSON, or else a string\n"
    "  --metrics             sign with METRICS_JWT_SECRET instead, for /metrics\n"
    "  --data-dir DIRECTORY  data directory of the server, env DATA_DIR  [.datafuse]\n"
    "  -h, --help            print this text\n";

struct Request {
  std::optional<std::string> role;
  std::optional<std::string> subject;
  std::string expires_in = "1h";
  std::vector<std::string> claims;
  std::optional<std::string> data_dir;
  bool metrics = false;
  bool help = false;
};

Result<Request> parse_arguments(const std::vector<std::string>& arguments) {
  Request request;
  CLI::App app;
  app.set_help_flag();
  app.add_flag("-h,--help", request.help);
  app.add_flag("--metrics", request.metrics);
  app.add_option_function<std::string>("--role", [&](const std::string& role) { request.role = role; });
  app.add_option_function<std::string>("--sub", [&](const std::string& subject) { request.subject = subject; });
  app.add_option_function<std::string>("--data-dir", [&](const std::string& path) { request.data_dir = path; });
  app.add_option("--expires-in", request.expires_in);
  app.add_option_function<std::vector<std::string>>(
         "--claim", [&](const std::vector<std::string>& claims) { request.claims = claims; })
      ->type_size(1)
      ->expected(1)
      ->take_all();
  if (const auto parsed = parse_command_line(app, "token", arguments); !parsed)
    return tl::make_unexpected(parsed.error());
  return request;
}

Result<seconds> parse_lifetime(const std::string& text) {
  const auto bad = [&] {
    return fail("--expires-in expected a time such as 45s, 30m, 1h or 7d, got \"" + text + "\"");
  };
  std::int64_t amount = 0;
  const auto [unit, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc() || unit + 1 != text.data() + text.size()) return bad();
  constexpr std::string_view kUnits = "smhd";
  constexpr std::int64_t kSeconds[] = {1, 60, 3600, 86400};
  const std::size_t which = kUnits.find(*unit);
  if (which == std::string_view::npos || amount < 1 || amount > kLifetimeMax.count() / kSeconds[which]) return bad();
  return seconds(amount * kSeconds[which]);
}

// Claims in the order in which they were first set; a later one of the same name replaces the value.
class Claims {
 public:
  void set(std::string_view name, std::string json) {
    const auto same = [&](const auto& claim) { return claim.first == name; };
    const auto found = std::find_if(claims_.begin(), claims_.end(), same);
    if (found != claims_.end()) {
      found->second = std::move(json);
    } else {
      claims_.emplace_back(name, std::move(json));
    }
  }

  std::string json() const {
    std::string text = "{";
    for (const auto& [name, value] : claims_) {
      if (text.size() > 1) text += ',';
      json::append_quoted(text, name);
      text.append(":").append(value);
    }
    return text += '}';
  }

 private:
  std::vector<std::pair<std::string, std::string>> claims_;
};

Result<void> set_given(Claims& claims, const std::string& given) {
  const std::size_t equals = given.find('=');
  if (equals == std::string::npos || equals == 0) return fail("--claim expected NAME=VALUE, got \"" + given + "\"");
  const std::string value = given.substr(equals + 1);
  const auto document = json::walk_document(value);
  claims.set(given.substr(0, equals), document ? std::string(document->text) : json::quoted(value));
  return {};
}

Result<std::string> claims_of(const Request& request, UnixSeconds now) {
  const auto lifetime = parse_lifetime(request.expires_in);
  if (!lifetime) return fail(lifetime.error().message);
  Claims claims;
  if (request.role) {
    claims.set("role", json::quoted(*request.role));
  } else if (!request.metrics) {
    claims.set("role", json::quoted("authenticated"));
  }
  if (request.subject) claims.set("sub", json::quoted(*request.subject));
  claims.set("iat", std::to_string(now));
  claims.set("exp", std::to_string(now + lifetime->count()));
  for (const std::string& claim : request.claims) {
    if (const auto set = set_given(claims, claim); !set) return fail(set.error().message);
  }
  return claims.json();
}

Result<std::string> make_token(const Request& request, const Environment& environment, UnixSeconds now) {
  const auto secret =
      secret_of_server(request.metrics ? kMetricsJwtSecret : kApiJwtSecret, request.data_dir, environment);
  if (!secret) return fail(secret.error().message);
  const auto claims = claims_of(request, now);
  if (!claims) return fail(claims.error().message);
  return auth::mint(*secret, *claims);
}

}  // namespace

int run_token_command(const std::vector<std::string>& arguments, const Environment& environment, Clock& clock,
                      std::ostream& out, std::ostream& err) {
  const auto failed = [&](const std::string& why) {
    err << "realtime token: " << why << '\n';
    return 1;
  };
  // All of them become part of a JSON text.
  if (!std::all_of(arguments.begin(), arguments.end(), is_valid_utf8)) return failed("an argument is not valid UTF-8");
  const auto request = parse_arguments(arguments);
  if (!request) return failed(request.error().message);
  if (request->help) {
    out << kHelp;
    return 0;
  }
  const auto token = make_token(*request, environment, clock.unix_seconds());
  if (!token) return failed(token.error().message);
  out << *token << '\n';
  return 0;
}

}  // namespace rt::app
