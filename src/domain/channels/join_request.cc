#include "domain/channels/join_request.h"

#include <cstdint>
#include <map>
#include <set>

#include "protocol/json/value.h"

namespace rt::channels {
namespace {

using json::Type;
using json::Value;

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

class Reader {
 public:
  explicit Reader(JoinRequest& request) : request_(request) {}

  void read_config(const Value& config);
  void read_tokens(const Value& payload);

 private:
  bool flexible_boolean(const Value& parent, std::string_view name);
  // The member as an object; nullopt when it is missing, null, or something else, which is then `wrong`.
  std::optional<Value> object_member(const Value& parent, std::string_view name, bool& wrong);
  void read_presence(const Value& config);
  void read_changes(const Value& config);
  void invalid(std::string_view field) {
    if (!request_.invalid_fields.empty()) request_.invalid_fields += ", ";
    request_.invalid_fields += field;
  }
  void structural_fault(std::string_view text) {
    if (request_.structural_fault.empty()) request_.structural_fault = text;
  }

  JoinRequest& request_;
};

// `true`, `"TRUE"`; null and blank text count as false, which is the default of all these fields.
bool Reader::flexible_boolean(const Value& parent, std::string_view name) {
  const auto value = parent.member(name);
  if (!value) return false;
  switch (value->type()) {
    case Type::kTrue:
      return true;
    case Type::kFalse:
    case Type::kNull:
      return false;
    case Type::kString: {
      const std::string text = *value->string();
      if (equals_ignoring_case(text, "true")) return true;
      if (equals_ignoring_case(text, "false") || is_blank(text)) return false;
      break;
    }
    default:
      break;
  }
  invalid(name);
  return false;
}

std::optional<Value> Reader::object_member(const Value& parent, std::string_view name, bool& wrong) {
  const auto value = parent.member(name);
  wrong = value && !value->is_object() && !value->is_null();
  return value && value->is_object() ? value : std::nullopt;
}

void Reader::read_config(const Value& config) {
  if (config.is_null()) return;
  if (!config.is_object()) return structural_fault("config must be an object");
  request_.is_private = flexible_boolean(config, "private");
  bool wrong = false;
  if (const auto broadcast = object_member(config, "broadcast", wrong)) {
    request_.ack = flexible_boolean(*broadcast, "ack");
    request_.self = flexible_boolean(*broadcast, "self");
    if (const auto ready = broadcast->member("replication_ready")) {
      request_.replication_ready = !ready->is_null() && ready->type() != Type::kFalse;
    }
    if (const auto replay = broadcast->member("replay")) request_.replay = replay->text();
  } else if (wrong) {
    structural_fault("config.broadcast must be an object");
  }
  read_presence(config);
  read_changes(config);
}

void Reader::read_presence(const Value& config) {
  bool wrong = false;
  const auto presence = object_member(config, "presence", wrong);
  if (wrong) invalid("presence");
  if (!presence) return;
  request_.presence_enabled = flexible_boolean(*presence, "enabled");
  const auto key = presence->member("key");
  if (!key || key->is_null()) return;
  if (key->is_object() || key->is_array()) return invalid("presence.key");
  std::string text = key->is_string() ? *key->string() : std::string(key->text());
  if (!is_blank(text)) request_.presence_key = std::move(text);
}

void Reader::read_changes(const Value& config) {
  const auto changes = config.member("postgres_changes");
  if (!changes || !changes->is_array()) return;
  json::Elements elements(*changes);
  while (const auto element = elements.next()) {
    if (request_.change_entries.size() == kChangeEntriesMax) {
      return structural_fault("config.postgres_changes must not have more than 1000 elements: use several channels");
    }
    if (element->is_object()) {
      request_.change_entries.push_back(element->text());
    } else if (!element->is_null()) {
      structural_fault("an element of config.postgres_changes must be an object");
    }
  }
}

// Opaque `sb_` keys mean the token of the connection; else `user_token` goes before `access_token`.
void Reader::read_tokens(const Value& payload) {
  const auto access = payload.member("access_token");
  const auto user = payload.member("user_token");
  const bool access_is_truthy = access && !access->is_null() && access->type() != Type::kFalse;
  const auto& first = access_is_truthy ? access : user;
  if (first && first->is_string() && first->string()->starts_with("sb_")) return;
  if (user && user->is_string()) {
    request_.token = user->string();
  } else if (access && access->is_string()) {
    request_.token = access->string();
  } else if (access_is_truthy) {
    invalid("access_token");
  }
}

}  // namespace

std::optional<JoinRequest> parse_join(const phoenix::JsonPayload& payload) {
  if (payload.type != Type::kObject) return std::nullopt;
  JoinRequest request;
  Reader reader(request);
  const Value value(payload.text);
  if (const auto config = value.member("config")) {
    request.has_config = true;
    reader.read_config(*config);
  }
  reader.read_tokens(value);
  return request;
}

std::string implicit_change_entry(std::string_view sub_topic) {
  constexpr std::string_view kNames[] = {"schema", "table", "filter"};
  std::string entry = "{";
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t colon = i < 2 ? sub_topic.find(':') : std::string_view::npos;
    if (i > 0) entry += ',';
    json::append_quoted(entry, kNames[i]);
    entry += ':';
    json::append_quoted(entry, sub_topic.substr(0, colon));
    if (colon == std::string_view::npos) break;
    sub_topic.remove_prefix(colon + 1);
  }
  return entry + "}";
}

std::vector<ChangeEntry> with_ids(const std::vector<std::string_view>& entries) {
  // Fixed, so that ids are the same on every node and after every start.
  constexpr HashKey kIdKey{0x6461746166757365, 0x7265616c74696d65};
  constexpr std::uint64_t kIdMax = (1u << 27) - 1;
  std::map<std::uint64_t, std::uint64_t> id_of_hash;
  std::set<std::uint64_t> used;
  std::vector<ChangeEntry> out;
  out.reserve(entries.size());
  for (const std::string_view entry : entries) {
    const std::uint64_t hash = json::hash_of(kIdKey, Value(entry), "id");
    const auto [at, added] = id_of_hash.try_emplace(hash, 1 + hash % kIdMax);
    while (added && !used.insert(at->second).second) at->second = 1 + at->second % kIdMax;
    out.push_back({static_cast<std::uint32_t>(at->second), std::string(entry)});
  }
  return out;
}

std::string echo_change_entries(const std::vector<ChangeEntry>& entries) {
  std::string out = "[";
  for (const ChangeEntry& entry : entries) {
    if (out.size() > 1) out += ',';
    out += "{\"id\":" + std::to_string(entry.id);
    json::Elements members{Value(entry.text)};
    while (const auto member = members.next()) {
      if (json::unescape(members.key()) == "id") continue;
      out += ',';
      out += members.key();
      out += ':';
      out += member->text();
    }
    out += '}';
  }
  return out + "]";
}

}  // namespace rt::channels
