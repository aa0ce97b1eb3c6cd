// The language of `filter`: conditions one behind the other, such as `id=gt.0,name=in.("a,b",c)`, all of which have to
// hold (protocol.md 7.3).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "domain/changes/request.h"

namespace rt::changes {

// Each condition is compared for each change, and its value is kept as long as the subscription.
inline constexpr std::size_t kConditionsMax = 100;
inline constexpr std::size_t kFilterBytesMax = std::size_t{64} << 10;

// The conditions as they are written, white space included: joined by commas they are the filter again. Each by itself
// is one condition, too.
std::vector<std::string_view> split_filter(std::string_view filter);

// None where it is blank. The error is what follows "Error parsing `filter` params: ".
Result<std::vector<Filter>, std::string> parse_filter(std::string_view filter);

}  // namespace rt::changes
