// Values as Elixir's `inspect` shows them, the notation in which clients know the texts about their subscriptions:
// `%{"schema" => "public", "table" => nil}`, `["id", "title"]`.
//
// What is shown comes from a client and may be huge, so what is made of it is bounded, and so is the work.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/json/value.h"

namespace rt::changes {

// Of what a client sent, in a text that tells it what is wrong.
inline constexpr std::size_t kShownBytesMax = 4096;

// Appends the text in quotes. It is UTF-8.
void append_inspected(std::string& out, std::string_view text);
// `["id", "title"]`
std::string inspected(const std::vector<std::string>& texts);
// `value` as the runtime decodes it; numbers as they are spelled. Of more than so many bytes the first, and three dots.
std::string inspected(json::Value value, std::size_t bytes_max);
// The same for a text that is there already; characters stay whole.
std::string shortened(std::string text, std::size_t bytes_max);

}  // namespace rt::changes
