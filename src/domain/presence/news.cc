#include "domain/presence/news.h"

#include <algorithm>
#include <utility>

namespace rt::presence {
namespace {

template <class Metas>
std::vector<PresenceMeta> in_a_row(Metas& metas) {
  std::vector<PresenceMeta> row;
  for (auto& [key, of_key] : metas) std::ranges::move(of_key, std::back_inserter(row));
  metas.clear();
  return row;
}

}  // namespace

void News::add(const PresenceTopicDiff& diff, std::string_view topic, const PresenceState& state) {
  for (const PresenceMeta& meta : diff.joins) put(left_.contains(meta.key) ? returns_ : joins_, meta);
  for (const PresenceMeta& meta : diff.leaves) {
    if (!take_back(joins_, meta) && !take_back(returns_, meta)) put(leaves_, meta);
    if (leaves_.contains(meta.key) && !state.contains(topic, meta.key)) left_.insert(meta.key);
  }
}

void News::put(Metas& metas, const PresenceMeta& meta) {
  metas[meta.key].push_back(meta);
  bytes_ += PresenceState::bytes_of(meta.key, meta.payload.size());
}

bool News::take_back(Metas& metas, const PresenceMeta& meta) {
  const auto found = metas.find(meta.key);
  if (found == metas.end()) return false;
  auto& of_key = found->second;
  const auto same = std::ranges::find(of_key, meta.ref, &PresenceMeta::ref);
  if (same == of_key.end()) return false;
  bytes_ -= PresenceState::bytes_of(meta.key, meta.payload.size());
  of_key.erase(same);
  if (of_key.empty()) metas.erase(found);
  return true;
}

std::vector<PresenceTopicDiff> News::take() {
  std::vector<PresenceTopicDiff> diffs;
  if (!joins_.empty() || !leaves_.empty()) diffs.push_back({in_a_row(joins_), in_a_row(leaves_)});
  if (!returns_.empty()) diffs.push_back({in_a_row(returns_), {}});
  left_.clear();
  bytes_ = 0;
  return diffs;
}

}  // namespace rt::presence
