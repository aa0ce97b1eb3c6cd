#include "protocol/http/body.h"

#include "protocol/json/walker.h"

namespace rt::http {

std::string media_type(const Request& request) {
  const std::string_view value = request.header("content-type").value_or("");
  return ascii_lower(trimmed(value.substr(0, value.find(';'))));
}

Result<Body, int> read_body(const Request& request) {
  const std::string type = media_type(request);
  if (type.empty()) return Body{};
  if (type == "application/octet-stream") return Body{.kind = BodyKind::kBytes};
  if (type != "application/json" && !(type.starts_with("application/") && type.ends_with("+json")))
    return tl::make_unexpected(415);
  if (request.body.empty()) return Body{.kind = BodyKind::kJson, .json = "{}"};
  const auto document = json::walk_document(request.body);
  if (!document) return tl::make_unexpected(400);
  return Body{.kind = BodyKind::kJson, .json = document->text};
}

}  // namespace rt::http
