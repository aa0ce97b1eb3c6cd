// From those whom a change is for to the messages that tell it: a channel has one for each selection of columns, with
// the ids of all its elements that it is for, and channels of a topic that are told the same share one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/change.h"
#include "model/changes.h"

namespace rt::changes {

// An element of a channel that the change is for.
struct Recipient {
  ChangesId channel;
  std::string_view topic;
  ChangeForm form = ChangeForm::kWithIds;
  std::uint32_t selection = 0;  // elements of a channel that select the same columns have the same
  std::uint32_t place = 0;      // in what the channel asked for
  std::uint32_t entry_id = 0;
  std::size_t data = 0;  // what it is told, as an index; the same for elements with the same selection
};

// `recipients` are put in order. Adds to `out`; `data` are the objects that the indices stand for.
void tell(Action action, std::vector<Recipient>& recipients, const std::vector<std::string>& data,
          std::vector<ChangeMessage>& out);

}  // namespace rt::changes
