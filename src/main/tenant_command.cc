#include "main/tenant_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <ostream>

#include "base/percent.h"
#include "base/utf8.h"
#include "domain/auth/jwt.h"
#include "main/command_line.h"
#include "main/secrets.h"
#include "protocol/json/value.h"

namespace rt::app {
namespace {

constexpr std::string_view kHelp =
    "Usage: realtime tenant list\n"
    "       realtime tenant show NAME\n"
    "       realtime tenant add NAME [ATTRIBUTE=VALUE ...]\n"
    "       realtime tenant set NAME ATTRIBUTE=VALUE ...\n"
    "       realtime tenant remove NAME\n\n"
    "Lists, shows, makes, changes and removes tenants of a running server. Changes count at once. VALUE is\n"
    "JSON, or else a string; a VALUE of - is read from standard input, as befits secrets. `add` makes a\n"
    "jwt_secret and prints it unless one is given.\n\n"
    "Attributes:\n"
    "  name, jwt_secret, jwt_jwks, suspend, private_only, presence_enabled, feature_flags, extensions,\n"
    "  max_concurrent_users, max_channels_per_client, max_joins_per_second, max_events_per_second,\n"
    "  max_payload_size_in_kb, max_presence_events_per_second, max_client_presence_events_per_window,\n"
    "  client_presence_window_ms\n\n"
    "Flags:\n"
    "  --url URL             of the server  [http://127.0.0.1:4000]\n"
    "  --json                print what the server answers\n"
    "  --data-dir DIRECTORY  data directory of the server, env DATA_DIR; API_JWT_SECRET goes over it  [.datafuse]\n"
    "  -h, --help            print this text\n";

struct Request {
  std::vector<std::string> words;  // the action, a name, attributes
  std::string url = "http://127.0.0.1:4000";
  std::optional<std::string> data_dir;
  bool json = false;
  bool help = false;
};

Result<Request> parse_arguments(const std::vector<std::string>& arguments) {
  Request request;
  CLI::App app;
  app.set_help_flag();
  app.add_flag("-h,--help", request.help);
  app.add_flag("--json", request.json);
  app.add_option("--url", request.url);
  app.add_option_function<std::string>("--data-dir", [&](const std::string& path) { request.data_dir = path; });
  app.add_option("words", request.words);
  if (const auto parsed = parse_command_line(app, "tenant", arguments); !parsed)
    return tl::make_unexpected(parsed.error());
  return request;
}

Result<std::string> operator_token(const Request& request, const Environment& environment, UnixSeconds now) {
  const auto secret = secret_of_server(kApiJwtSecret, request.data_dir, environment);
  if (!secret) return fail(secret.error().message);
  constexpr int kLifetimeSeconds = 60;
  return auth::mint(*secret, R"({"role":"service_role","iat":)" + std::to_string(now) +
                                 ",\"exp\":" + std::to_string(now + kLifetimeSeconds) + "}");
}

// A secret of digits is a text all the same.
bool is_text(std::string_view attribute) {
  return attribute == "jwt_secret" || attribute == "name" || attribute == "postgres_cdc_default" ||
         attribute == "broadcast_adapter";
}

// ATTRIBUTE=VALUE ... as a JSON object.
Result<std::string> attributes_of(const std::vector<std::string>& words, std::istream& in) {
  std::string out = "{";
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) return fail("expected ATTRIBUTE=VALUE, got \"" + word + "\"");
    std::string value = word.substr(equals + 1);
    if (value == "-") {
      std::getline(in, value, '\0');
      while (value.ends_with('\n') || value.ends_with('\r')) value.pop_back();
      if (!is_valid_utf8(value)) return fail("standard input is not valid UTF-8");
    }
    if (out.size() > 1) out += ',';
    const std::string name = word.substr(0, equals);
    const auto document = is_text(name) && value != "null" ? std::nullopt : json::walk_document(value);
    out += json::quoted(name) + ":" + (document ? std::string(document->text) : json::quoted(value));
  }
  return out + "}";
}

std::string plain(json::Value value) { return value.string().value_or(std::string(value.text())); }

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

constexpr std::size_t kWidth = 40;  // of attributes' names

void print_list(json::Value tenants, std::ostream& out) {
  constexpr std::pair<std::string_view, std::string_view> kColumns[] = {{"name", "external_id"},
                                                                        {"users", "max_concurrent_users"},
                                                                        {"events/s", "max_events_per_second"},
                                                                        {"joins/s", "max_joins_per_second"},
                                                                        {"private only", "private_only"},
                                                                        {"made", "inserted_at"}};
  std::vector<std::vector<std::string>> rows(1);
  for (const auto& [title, key] : kColumns) rows[0].emplace_back(title);
  json::Elements elements(tenants);
  while (const auto tenant = elements.next()) {
    auto& row = rows.emplace_back();
    for (const auto& [title, key] : kColumns) {
      const auto value = tenant->member(key);
      row.push_back(value ? plain(*value) : "");
    }
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      std::size_t width = 0;
      for (const auto& other : rows) width = std::max(width, other[column].size());
      line += padded(row[column], width) + "  ";
    }
    out << line.substr(0, line.find_last_not_of(' ') + 1) << '\n';
  }
}

void print_tenant(json::Value tenant, std::ostream& out) {
  json::Elements members(tenant);
  while (const auto value = members.next())
    out << padded(json::unescape(members.key()), kWidth) << plain(*value) << '\n';
}

class Command {
 public:
  Command(const Request& request, std::string token, Random& random, const CallHttp& call, std::ostream& out)
      : request_(request), token_(std::move(token)), random_(random), call_(call), out_(out) {}

  Result<void> run(std::istream& in) {
    const auto& words = request_.words;
    const std::string action = words.empty() ? "" : words[0];
    if (action == "list" && words.size() == 1) return show(ask("GET", "", ""), print_list);
    if (words.size() < 2)
      return fail("expected list, or show, add, set or remove and a name (`realtime tenant --help`)");
    name_ = "/" + percent_encode(words[1]);
    if (action == "show" && words.size() == 2) return show(ask("GET", name_, ""), print_tenant);
    if (action == "remove" && words.size() == 2) return remove();
    if (action != "add" && action != "set") return fail("there is no `realtime tenant " + action + "` of these words");
    const auto attributes = attributes_of({words.begin() + 2, words.end()}, in);
    if (!attributes) return tl::make_unexpected(attributes.error());
    return action == "add" ? add(*attributes) : set(*attributes);
  }

 private:
  Result<HttpAnswer> ask(const std::string& method, const std::string& path, const std::string& body) {
    HttpCall call{.method = method,
                  .url = request_.url,
                  .path = "/api/tenants" + path,
                  .headers = {{"authorization", "Bearer " + token_}, {"accept", "application/json"}},
                  .body = body};
    if (!body.empty()) call.headers.emplace_back("content-type", "application/json");
    auto answer = call_(call);
    if (!answer || answer->status < 300) return answer;
    if (answer->status == 403)
      return fail("the server refuses our token: its API_JWT_SECRET is another one (--data-dir, API_JWT_SECRET)");
    if (answer->status == 404) return fail("there is no such tenant");
    return fail("the server answered " + std::to_string(answer->status) + ": " + answer->body);
  }

  template <class Print>
  Result<void> show(const Result<HttpAnswer>& answer, Print print) {
    if (!answer) return tl::make_unexpected(answer.error());
    const auto document = json::walk_document(answer->body);
    const auto data = document ? json::Value(document->text).member("data") : std::nullopt;
    if (!data) return fail("the server answered what is no tenant: " + answer->body);
    if (request_.json) {
      const std::string_view text = data->text();
      out_ << (made_secret_.empty() ? std::string(text)
                                    : std::string(text.substr(0, text.size() - 1)) +
                                          ",\"jwt_secret\":" + json::quoted(made_secret_) + "}")
           << '\n';
    } else {
      print(*data, out_);
    }
    return {};
  }

  Result<void> add(std::string attributes) {
    if (const auto known = call_({.method = "GET",
                                  .url = request_.url,
                                  .path = "/api/tenants" + name_,
                                  .headers = {{"authorization", "Bearer " + token_}}});
        known && known->status == 200)
      return fail("there is a tenant of that name already: change it with `realtime tenant set`");
    const json::Value given(attributes);
    if (!given.member("jwt_secret") && !given.member("jwt_jwks")) {
      made_secret_ = make_long_secret(random_);
      attributes.insert(1, "\"jwt_secret\":" + json::quoted(made_secret_) + (attributes == "{}" ? "" : ","));
    }
    auto shown = show(ask("PUT", name_, "{\"tenant\":" + attributes + "}"), print_tenant);
    if (shown && !made_secret_.empty() && !request_.json)
      out_ << padded("jwt_secret, which is not shown again", kWidth) << made_secret_ << '\n';
    return shown;
  }

  Result<void> set(const std::string& attributes) {
    if (attributes == "{}") return fail("expected ATTRIBUTE=VALUE behind the name");
    if (const auto known = ask("GET", name_, ""); !known) return tl::make_unexpected(known.error());
    return show(ask("PATCH", name_, "{\"tenant\":" + attributes + "}"), print_tenant);
  }

  Result<void> remove() {
    if (const auto known = ask("GET", name_, ""); !known) return tl::make_unexpected(known.error());
    if (const auto removed = ask("DELETE", name_, ""); !removed) return tl::make_unexpected(removed.error());
    return {};
  }

  const Request& request_;
  const std::string token_;
  Random& random_;
  const CallHttp& call_;
  std::ostream& out_;
  std::string name_;         // as a path
  std::string made_secret_;  // of a new tenant that was given none
};

}  // namespace

int run_tenant_command(const std::vector<std::string>& arguments, const Environment& environment, Clock& clock,
                       Random& random, const CallHttp& call, std::istream& in, std::ostream& out, std::ostream& err) {
  const auto failed = [&](const std::string& why) {
    err << "realtime tenant: " << why << '\n';
    return 1;
  };
  if (!std::ranges::all_of(arguments, is_valid_utf8)) return failed("an argument is not valid UTF-8");
  const auto request = parse_arguments(arguments);
  if (!request) return failed(request.error().message);
  if (request->help) {
    out << kHelp;
    return 0;
  }
  const auto token = operator_token(*request, environment, clock.unix_seconds());
  if (!token) return failed(token.error().message);
  if (const auto done = Command(*request, *token, random, call, out).run(in); !done)
    return failed(done.error().message);
  return 0;
}

}  // namespace rt::app
