#include "protocol/bus/fragments.h"

#include <algorithm>
#include <utility>

namespace rt::bus {
namespace {

constexpr std::size_t kFragmentOverhead = 64;  // its other fields, tags and lengths, at most
// What a piece costs besides its bytes, so that empty ones are not free.
constexpr std::size_t kPieceCost = sizeof(std::optional<std::string>);
constexpr std::uint32_t kPiecesMax = 65'536;

}  // namespace

std::vector<std::string> split(std::string message, ReplicaId sender, std::uint64_t id, std::size_t bytes_max) {
  if (message.size() > kMessageBytesMax) return {};
  if (message.size() <= bytes_max) return {std::move(message)};
  const std::size_t piece_bytes = bytes_max - kFragmentOverhead;
  const std::size_t count = (message.size() + piece_bytes - 1) / piece_bytes;
  if (count > kPiecesMax) return {};
  std::vector<std::string> pieces;
  for (std::size_t index = 0; index < count; ++index)
    pieces.push_back(encode(Fragment{sender, id, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(count),
                                     message.substr(index * piece_bytes, piece_bytes)}));
  return pieces;
}

std::optional<std::string> Reassembly::add(Fragment fragment) {
  const auto is_its = [&](const Partial& partial) {
    return partial.sender == fragment.sender && partial.id == fragment.id;
  };
  if (fragment.count == 0 || fragment.count > kPiecesMax || fragment.index >= fragment.count) {
    ++dropped_;
    return std::nullopt;
  }
  auto partial = std::ranges::find_if(partials_, is_its);
  if (partial == partials_.end()) {
    const std::size_t cost = fragment.count * kPieceCost;
    partials_.push_back({fragment.sender, fragment.id, fragment.count, cost, {}});
    partials_.back().pieces.resize(fragment.count);
    bytes_ += cost;
    partial = std::prev(partials_.end());
  }
  const bool fits = partial->pieces.size() == fragment.count && !partial->pieces[fragment.index];
  if (!fits || partial->bytes + fragment.piece.size() > kMessageBytesMax + kPiecesMax * kPieceCost) {
    ++dropped_;
    return std::nullopt;
  }
  partial->bytes += fragment.piece.size();
  bytes_ += fragment.piece.size();
  partial->pieces[fragment.index] = std::move(fragment.piece);
  if (--partial->missing > 0) {
    make_room();
    return std::nullopt;
  }
  std::string message;
  for (const auto& piece : partial->pieces) message += *piece;
  bytes_ -= partial->bytes;
  partials_.erase(partial);
  return message;
}

void Reassembly::make_room() {
  while (bytes_ > bytes_max_ && !partials_.empty()) {
    bytes_ -= partials_.front().bytes;
    partials_.pop_front();
    ++dropped_;
  }
}

}  // namespace rt::bus
