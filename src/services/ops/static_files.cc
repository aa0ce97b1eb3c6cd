#include "services/ops/static_files.h"

#include <algorithm>
#include <utility>

#include "protocol/http/gzip.h"

namespace rt::ops {
namespace {

using http::Response;

bool is_page(const StaticFile& file) { return file.type == "text/html"; }

std::string etag_of(const StaticFile& file, Coding coding) {
  return '"' + std::string(file.etag) + (coding == Coding::kGzip ? "-gzip\"" : "\"");
}

std::vector<http::Header> headers_of(const StaticFile& file, Coding coding) {
  std::vector<http::Header> headers{{"etag", etag_of(file, coding)},
                                    {"cache-control", is_page(file) ? "no-cache" : "public, max-age=3600"},
                                    {"vary", "accept-encoding"},
                                    {"x-content-type-options", "nosniff"}};
  if (is_page(file)) {
    headers.push_back({"content-security-policy", "base-uri 'self'; frame-ancestors 'self';"});
    headers.push_back({"referrer-policy", "strict-origin-when-cross-origin"});
    headers.push_back({"x-permitted-cross-domain-policies", "none"});
  }
  return headers;
}

bool accepts_html(const http::Request& request) {
  const auto accept = request.header("accept");
  if (!accept) return true;
  return std::ranges::any_of(std::initializer_list<std::string_view>{"*/*", "text/*", "text/html"},
                             [&](std::string_view type) { return accept->find(type) != std::string_view::npos; });
}

bool has_it(const http::Request& request, const StaticFile& file, Coding coding) {
  const std::string etag = etag_of(file, coding);
  return request.has_token("if-none-match", etag) || request.has_token("if-none-match", "W/" + etag) ||
         request.has_token("if-none-match", "*");
}

}  // namespace

std::optional<Response> answer_without_body(const http::Request& request, const StaticFile& file, Coding coding) {
  if (is_page(file)) {
    if (!accepts_html(request)) return Response::json(406, "\"Not Acceptable\"");
    // What a page loads is named relative to it.
    if (request.path().ends_with('/'))
      return Response{.status = 302, .headers = {{"location", ".." + std::string(file.path)}}};
  }
  if (!has_it(request, file, coding)) return std::nullopt;
  return Response{.status = 304, .headers = headers_of(file, coding)};
}

Response answer_with(const StaticFile& file, Coding coding, StaticFiles::Body body) {
  Response response{.status = 200, .headers = headers_of(file, coding), .shared_body = std::move(body)};
  const std::string_view charset = file.type.starts_with("text/") ? "; charset=utf-8" : "";
  response.headers.push_back({"content-type", std::string(file.type).append(charset)});
  if (coding == Coding::kGzip) response.headers.push_back({"content-encoding", "gzip"});
  return response;
}

const StaticFile* StaticFiles::find(std::string_view resource) const {
  const auto found = std::ranges::find(files_, resource, &StaticFile::path);
  return found == files_.end() ? nullptr : &*found;
}

StaticFiles::Body& StaticFiles::slot(const StaticFile& file, Coding coding) const {
  Loaded& loaded = loaded_[static_cast<std::size_t>(&file - files_.data())];
  return coding == Coding::kGzip ? loaded.packed : loaded.as_it_is;
}

StaticFiles::Body StaticFiles::ready(const StaticFile& file, Coding coding) const {
  const std::lock_guard lock(mutex_);
  return slot(file, coding);
}

StaticFiles::Body StaticFiles::load(const StaticFile& file, Coding coding) {
  if (Body there = ready(file, coding)) return there;
  auto body = std::make_shared<const std::string>(coding == Coding::kGzip ? std::string(file.packed)
                                                                          : http::gunzip(file.packed));
  const std::lock_guard lock(mutex_);
  return slot(file, coding) = std::move(body);
}

}  // namespace rt::ops
