#include "services/database/snapshot.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace rt::database {
namespace {

// With the character behind it.
std::optional<std::uint64_t> take_number(std::string_view& text, char end) {
  std::uint64_t value = 0;
  const auto [behind, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(behind - text.data()));
  if (!text.empty() && text.front() != end) return std::nullopt;
  if (!text.empty()) text.remove_prefix(1);
  return value;
}

}  // namespace

bool sees_all(std::string_view snapshot, const std::vector<std::uint32_t>& transactions) {
  const auto oldest_in_progress = take_number(snapshot, ':');
  const auto next = oldest_in_progress ? take_number(snapshot, ':') : std::nullopt;
  if (!next) return false;
  std::vector<std::uint64_t> in_progress;
  while (!snapshot.empty()) {
    const auto one = take_number(snapshot, ',');
    if (!one) return false;
    in_progress.push_back(*one);
  }
  return std::ranges::all_of(transactions, [&](std::uint32_t id) {
    const auto ahead = static_cast<std::int32_t>(id - static_cast<std::uint32_t>(*next));
    const std::uint64_t whole = *next + static_cast<std::uint64_t>(static_cast<std::int64_t>(ahead));
    return whole < *next && (whole < *oldest_in_progress || std::ranges::count(in_progress, whole) == 0);
  });
}

}  // namespace rt::database
