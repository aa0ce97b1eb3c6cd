#include "protocol/phoenix/presence.h"

#include <utility>

namespace rt::phoenix {
namespace {

// The name of a member, as it is spelled.
bool is_ours(std::string_view quoted_name) {
  const std::string name = json::unescape(quoted_name);
  return name == "phx_ref" || name == "phx_ref_prev";
}

std::string object_of(const std::vector<PresenceMeta>& metas) {
  PresenceObject object;
  for (const PresenceMeta& meta : metas) object.add(meta);
  return std::move(object).finish();
}

void append_meta(std::string& out, const PresenceMeta& meta) {
  const std::string_view payload = meta.payload.view();
  out += payload.substr(0, payload.size() - 1);
  out += payload == "{}" ? "\"phx_ref\":\"" : ",\"phx_ref\":\"";
  out += meta.ref.text();
  if (meta.ref_prev) {
    out += "\",\"phx_ref_prev\":\"";
    out += meta.ref_prev.text();
  }
  out += "\"}";
}

}  // namespace

std::string presence_payload(json::Value object) {
  std::size_t kept = 0;
  std::size_t all = 0;
  for (json::Elements members(object); members.next(); ++all) kept += is_ours(members.key()) ? 0 : 1;
  if (kept == 0) return "{}";
  if (kept == all) return std::string(object.text());
  std::string out = "{";
  json::Elements members(object);
  while (const auto value = members.next()) {
    if (is_ours(members.key())) continue;
    if (out.size() > 1) out += ',';
    out.append(members.key()).append(":").append(value->text());
  }
  return out + "}";
}

void PresenceObject::add(const PresenceMeta& meta) {
  if (is_empty_ || meta.key != key_) {
    if (!std::exchange(is_empty_, false)) text_ += "]},";
    json::append_quoted(text_, meta.key);
    text_ += ":{\"metas\":[";
    key_ = meta.key;
  } else {
    text_ += ',';
  }
  append_meta(text_, meta);
}

std::string PresenceObject::finish() && {
  text_ += is_empty_ ? "}" : "]}}";
  return std::move(text_);
}

std::string presence_diff(const PresenceTopicDiff& diff) {
  return "{\"joins\":" + object_of(diff.joins) + ",\"leaves\":" + object_of(diff.leaves) + "}";
}

}  // namespace rt::phoenix
