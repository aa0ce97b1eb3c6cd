#include "domain/changes/telling.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace rt::changes {
namespace {

std::string with_ids(const std::vector<std::uint32_t>& ids, const std::string& data) {
  std::string out = R"({"ids":[)";
  for (const std::uint32_t id : ids) {
    if (out.back() != '[') out += ',';
    out += std::to_string(id);
  }
  out.reserve(out.size() + data.size() + 10);
  return out.append(R"(],"data":)").append(data).append("}");
}

// But for the ids.
bool is_told_alike(const Recipient& a, const Recipient& b) {
  return a.data == b.data && a.form == b.form && a.topic == b.topic;
}

// What is the same for channels that share a message.
std::string key_of(const Recipient& recipient, const std::vector<std::uint32_t>& ids) {
  std::string key(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof ids[0]);
  const std::uint64_t numbers[] = {ids.size(), recipient.data, static_cast<std::uint64_t>(recipient.form)};
  key.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
  return key.append(recipient.topic);
}

}  // namespace

void tell(Action action, std::vector<Recipient>& recipients, const std::vector<std::string>& data,
          std::vector<ChangeMessage>& out) {
  // The last element of a channel comes first.
  std::ranges::sort(recipients, [](const Recipient& a, const Recipient& b) {
    return std::tie(a.channel, a.selection, b.place) < std::tie(b.channel, b.selection, a.place);
  });
  std::unordered_map<std::string, std::size_t> message_of;
  std::vector<std::uint32_t> ids;
  // Most are told what the one before them is.
  struct {
    const Recipient* who = nullptr;
    std::vector<std::uint32_t> ids;
    std::size_t message = 0;
  } last;
  for (std::size_t begin = 0; begin < recipients.size();) {
    const Recipient& first = recipients[begin];
    std::size_t end = begin;
    ids.clear();
    while (end < recipients.size() && recipients[end].channel == first.channel &&
           recipients[end].selection == first.selection) {
      ids.push_back(recipients[end++].entry_id);
    }
    begin = end;
    if (last.who != nullptr && is_told_alike(*last.who, first) && last.ids == ids) {
      out[last.message].to.push_back(first.channel);
      continue;
    }
    const auto [found, is_new] = message_of.try_emplace(key_of(first, ids), out.size());
    if (is_new) {
      const bool has_ids = first.form == ChangeForm::kWithIds;
      out.push_back({.topic = std::string(first.topic),
                     .event = has_ids ? "postgres_changes" : std::string(name_of(action)),
                     .payload = has_ids ? with_ids(ids, data[first.data]) : data[first.data],
                     .subscriptions = ids.size()});
    }
    out[found->second].to.push_back(first.channel);
    last = {&first, ids, found->second};
  }
}

}  // namespace rt::changes
