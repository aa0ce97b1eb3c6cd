#include "protocol/http/header_object.h"

#include <algorithm>
#include <ranges>

#include "base/utf8.h"
#include "protocol/json/value.h"

namespace rt::http {

std::string header_object(const Request& request, HeaderChoice choice) {
  std::string out = "{";
  for (auto header = request.headers.begin(); header != request.headers.end(); ++header) {
    if (choice == HeaderChoice::kExtensions && (!header->name.starts_with("x-") || header->name == "x-api-key"))
      continue;
    const auto is_same = [&](const Header& later) { return later.name == header->name; };
    if (std::any_of(header + 1, request.headers.end(), is_same) || !is_valid_utf8(header->value)) continue;
    if (out.size() > 1) out += ',';
    json::append_quoted(out, header->name);
    out += ':';
    json::append_quoted(out, header->value);
  }
  out += '}';
  return out;
}

}  // namespace rt::http
