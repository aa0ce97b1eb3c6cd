#include "protocol/http/forwarded.h"

#include <algorithm>
#include <ranges>

namespace rt::http {
namespace {

// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
std::optional<IpAddress> address_of(std::string_view entry) {
  if (entry.starts_with('[')) return IpAddress::parse(entry.substr(1, entry.find(']') - 1));
  const bool has_port = std::ranges::count(entry, ':') == 1;
  return IpAddress::parse(has_port ? entry.substr(0, entry.find(':')) : entry);
}

}  // namespace

IpAddress client_of(const Request& request, const IpAddress& peer, const std::vector<IpBlock>& trusted) {
  IpAddress client = peer;
  int forwarders = 0;
  for (const Header& header : request.headers | std::views::reverse) {
    if (header.name != "x-forwarded-for") continue;
    std::string_view list = header.value;
    while (!list.empty()) {
      if (++forwarders > kForwardersMax || !any_contains(trusted, client)) return client;
      const std::size_t comma = list.rfind(',');
      const auto address = address_of(trimmed(comma == std::string_view::npos ? list : list.substr(comma + 1)));
      if (!address) return client;
      client = *address;
      list = list.substr(0, comma == std::string_view::npos ? 0 : comma);
    }
  }
  return client;
}

}  // namespace rt::http
