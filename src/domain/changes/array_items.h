// The text of a Postgres array, taken apart.
//
// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rt::changes {

// All elements in their order, whatever the dimensions; NULL is nullopt. nullopt: that is no array whose elements are
// separated by commas.
std::optional<std::vector<std::optional<std::string>>> array_items(std::string_view text);

}  // namespace rt::changes
