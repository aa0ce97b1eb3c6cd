// Requests out of the bytes of an HTTP/1.1 client, however they are cut.
//
// The syntax of the head is Boost.Beast's business (used without I/O, in the .cc file only), bodies are ours; the
// limits and their statuses are ours: 414 for a long request line, 431 for header values, header count and header
// block, 413 for the body, 400 for bad syntax.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "protocol/http/request.h"

namespace rt::http {

struct ParserLimits {
  std::size_t request_line_bytes_max = 8000;
  std::size_t header_value_bytes_max = 4096;
  std::size_t host_bytes_max = 255;
  std::size_t headers_max = 100;
  std::size_t head_bytes_max = 64 * 1024;  // request line and all headers
  std::size_t body_bytes_max = 8'000'000;
};

// Why a request cannot be served; the connection ends after the answer, because the next request's start is unknown.
struct Refusal {
  int status = 400;
  std::string reason;
};

class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;

  // Takes bytes from the front of `in` up to the end of one request. True: it is complete. After a refusal the parser
  // must not be used again.
  Result<bool, Refusal> feed(std::string_view& in);

  bool head_complete() const;
  // The client waits for `100 Continue` before it sends the body (RFC 9110 10.1.1). True once.
  bool take_expects_continue();
  // Heap bytes held for an incomplete request.
  std::size_t bytes_held() const;
  // After feed() gave true; the parser is then ready for the next request.
  Request take();

 private:
  struct State;
  Result<void, Refusal> read_head();
  bool feed_body(std::string_view& in);
  Result<bool, Refusal> feed_chunks(std::string_view& in);

  ParserLimits limits_;
  std::unique_ptr<State> state_;
};

}  // namespace rt::http
