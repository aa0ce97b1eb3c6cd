#include "domain/messages/recent_ids.h"

namespace rt::messages {
namespace {

constexpr std::size_t kUuidDigits = 32;

}  // namespace

std::optional<RecentIds::Id> RecentIds::parse(std::string_view uuid) {
  Id out;
  std::size_t digits = 0;
  for (const char c : uuid) {
    if (c == '-') continue;
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0 || digits == kUuidDigits) return std::nullopt;
    std::uint64_t& half = digits < kUuidDigits / 2 ? out.high : out.low;
    half = half << 4 | static_cast<std::uint64_t>(value);
    ++digits;
  }
  if (digits != kUuidDigits) return std::nullopt;
  return out;
}

bool RecentIds::add(std::string_view uuid) {
  const auto id = parse(uuid);
  if (!id) return true;
  if (!ids_.insert(*id).second) return false;
  in_order_.push_back(*id);
  if (in_order_.size() > kIdsMax) {
    ids_.erase(in_order_.front());
    in_order_.pop_front();
  }
  return true;
}

}  // namespace rt::messages
