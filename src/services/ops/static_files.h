// Files that are part of the program: pages and what they load.
//
// They lie in the program as they are served to nearly everybody, compressed by gzip. What was asked for once stays in
// memory, one copy for all who are sent it; nothing else of them costs any.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/http/request.h"

namespace rt::ops {

struct StaticFile {
  std::string_view path;    // as Request::resource() has it
  std::string_view type;    // texts are UTF-8
  std::string_view etag;    // without quotes; changes with the contents
  std::string_view packed;  // in gzip
};

// The page that shows the description of the HTTP API (http-api.md 10), and what it loads. Made by the build.
std::span<const StaticFile> swagger_ui_files();

enum class Coding : std::uint8_t { kNone, kGzip };

// The answer to a request for the file where that has no body: a page that is asked for with a slash at its end, is not
// accepted as HTML, or is the one that the client has. nullopt: it is to be sent.
std::optional<http::Response> answer_without_body(const http::Request& request, const StaticFile& file, Coding coding);

class StaticFiles {  // thread-safe
 public:
  using Body = std::shared_ptr<const std::string>;

  // Of static storage.
  explicit StaticFiles(std::span<const StaticFile> files)
      : files_(files), loaded_(std::make_unique<Loaded[]>(files.size())) {}

  const StaticFile* find(std::string_view resource) const;
  // Null: it has to be loaded first.
  Body ready(const StaticFile& file, Coding coding) const;
  // Takes up to 10 ms the first time.
  Body load(const StaticFile& file, Coding coding);

 private:
  struct Loaded {
    Body as_it_is;
    Body packed;
  };
  Body& slot(const StaticFile& file, Coding coding) const;

  const std::span<const StaticFile> files_;
  mutable std::mutex mutex_;
  std::unique_ptr<Loaded[]> loaded_;  // as in files_
};

http::Response answer_with(const StaticFile& file, Coding coding, StaticFiles::Body body);

}  // namespace rt::ops
