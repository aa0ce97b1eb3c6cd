#include "services/rest/request_id.h"

#include <algorithm>
#include <optional>

#include "base/percent.h"

namespace rt::rest {
namespace {

constexpr std::size_t kFreshBytes = 12;
constexpr std::size_t kBaggageBytesMin = 10;
constexpr std::size_t kHeaderBytesMin = 20;
constexpr std::size_t kBytesMax = 200;

// Takes the text before the next `separator`.
std::string_view take(std::string_view& rest, char separator) {
  const std::size_t end = std::min(rest.find(separator), rest.size());
  const std::string_view taken = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return taken;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c <= 0x7e; });
}

std::optional<std::string> from_baggage(std::string_view baggage, std::string_view key) {
  while (!baggage.empty()) {
    std::string_view entry = take(baggage, ',');
    std::string_view pair = take(entry, ';');  // what follows are properties
    if (http::trimmed(take(pair, '=')) != key) continue;
    auto id = percent_decode(http::trimmed(pair));
    if (id && id->size() >= kBaggageBytesMin && id->size() <= kBytesMax && is_printable(*id)) return id;
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::string request_id(const http::Request& request, std::string_view baggage_key, Random& random) {
  for (const http::Header& header : request.headers) {
    if (header.name != "baggage") continue;
    if (auto id = from_baggage(header.value, baggage_key)) return *std::move(id);
  }
  const std::string_view given = request.header("x-request-id").value_or("");
  if (given.size() >= kHeaderBytesMin && given.size() <= kBytesMax && is_printable(given)) return std::string(given);
  return random.hex(kFreshBytes);
}

}  // namespace rt::rest
