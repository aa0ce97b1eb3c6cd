#include "services/database/visibility_looks.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rt::database {
namespace {

// No two keys have the same.
std::string text_of(const VisibilityKeys::Key& key) {
  if (key.size() == 1) return key.front();
  std::string out;
  for (const std::string& column : key) out.append(std::to_string(column.size())).append(":").append(column);
  return out;
}

}  // namespace

std::size_t VisibilityLooks::add(const std::shared_ptr<const CatalogTable>& facts, VisibilityKeys::Key key,
                                 std::size_t viewers, const ViewerOf& viewer_of) {
  RT_CHECK(questions_.empty());
  const auto at = std::ranges::find(tables_, facts, [](const auto& table) { return table->facts; });
  Look look{.table = static_cast<std::uint32_t>(at - tables_.begin())};
  if (at == tables_.end()) {
    tables_.push_back(std::make_unique<OfTable>());
    tables_.back()->facts = facts;
  }
  OfTable& table = *tables_[look.table];
  const auto [known, is_new] = table.number_of.try_emplace(text_of(key), static_cast<std::uint32_t>(table.keys.size()));
  if (is_new) table.keys.push_back(std::move(key));
  look.key = known->second;
  look.viewers.reserve(viewers);
  for (std::size_t i = 0; i < viewers; ++i) {
    const std::shared_ptr<const Viewer>& viewer = viewer_of(i);
    const auto [place, is_first] =
        table.place_of.try_emplace(viewer.get(), static_cast<std::uint32_t>(table.viewers.size()));
    if (is_first) table.viewers.push_back(viewer);
    look.viewers.push_back(place->second);
  }
  looks_.push_back(std::move(look));
  return looks_.size() - 1;
}

std::vector<VisibilityQuestion>& VisibilityLooks::questions() {
  RT_CHECK(questions_.empty());
  // In the order of their keys, so that whoever has been asked about one was asked about it just now.
  std::vector<const Look*> ordered;
  for (const Look& look : looks_) ordered.push_back(&look);
  std::ranges::sort(ordered, {}, &Look::key);
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    std::vector<const Look*> of_table;
    std::ranges::copy_if(ordered, std::back_inserter(of_table), [&](const Look* look) { return look->table == i; });
    ask(*tables_[i], of_table);
  }
  return questions_;
}

void VisibilityLooks::ask(OfTable& table, const std::vector<const Look*>& looks) {
  std::vector<Numbers> numbers(table.viewers.size());
  for (const Look* const look : looks) {
    for (const std::uint32_t viewer : look->viewers) {
      if (numbers[viewer].empty() || numbers[viewer].back() != look->key) numbers[viewer].push_back(look->key);
    }
  }
  table.first_question = questions_.size();
  for (std::size_t viewer = 0; viewer < numbers.size(); ++viewer) {
    auto& [asked, keys] = *table.shared.try_emplace(std::move(numbers[viewer])).first;
    if (!keys) {
      std::vector<VisibilityKeys::Key> of_numbers;
      for (const std::uint32_t number : asked) of_numbers.push_back(table.keys[number]);
      keys = std::make_shared<const VisibilityKeys>(table.facts, std::move(of_numbers));
    }
    table.asked.push_back(&asked);
    questions_.push_back({.viewer = table.viewers[viewer], .keys = keys, .is_visible = {}});
  }
}

bool VisibilityLooks::is_visible(std::size_t look, std::size_t viewer) const {
  const auto& [number, key, viewers] = looks_[look];
  const OfTable& table = *tables_[number];
  const Numbers& asked = *table.asked[viewers[viewer]];
  // Who is asked about all keys has each in its own place.
  std::size_t place = key;
  if (place >= asked.size() || asked[place] != key)
    place = static_cast<std::size_t>(std::ranges::lower_bound(asked, key) - asked.begin());
  return questions_[table.first_question + viewers[viewer]].is_visible[place];
}

}  // namespace rt::database
