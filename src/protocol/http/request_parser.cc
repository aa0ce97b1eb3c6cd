#include "protocol/http/request_parser.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>

#include "protocol/http/chunked_body.h"

namespace rt::http {

namespace beast = boost::beast::http;

struct RequestParser::State {
  std::string head;  // until it is complete
  bool line_checked = false;
  std::optional<Request> request;  // set once the head is complete; its body is arriving
  std::optional<ChunkedBody> chunked;
  std::uint64_t body_left = 0;  // of a body of known length
  bool expects_continue = false;
};

namespace {

tl::unexpected<Refusal> refuse(int status, std::string reason) {
  return tl::make_unexpected(Refusal{status, std::move(reason)});
}

std::string_view view_of(boost::beast::string_view text) { return {text.data(), text.size()}; }

Result<void, Refusal> check_request_line(std::string_view head, std::size_t bytes_max) {
  const std::size_t end = head.find('\n');
  if (end == std::string_view::npos) {
    if (head.size() > bytes_max)
      return refuse(414, "the request line is longer than " + std::to_string(bytes_max) + " bytes");
    return {};
  }
  if (end > bytes_max + 1)
    return refuse(414, "the request line is longer than " + std::to_string(bytes_max) + " bytes");
  const std::string_view line = head.substr(0, end);
  if (!line.ends_with("\r") || line.find(" HTTP/1.") == std::string_view::npos) {
    return refuse(400, "the request line is not of the form: METHOD target HTTP/1.1");
  }
  return {};
}

Result<void, Refusal> check_headers(const Request& request, const ParserLimits& limits) {
  if (request.headers.size() > limits.headers_max) return refuse(431, "there are more than 100 headers");
  std::size_t hosts = 0;
  for (const Header& header : request.headers) {
    const bool is_host = header.name == "host";
    hosts += is_host;
    if (header.value.size() > (is_host ? limits.host_bytes_max : limits.header_value_bytes_max)) {
      return refuse(431, "the value of header '" + header.name + "' is too long");
    }
  }
  if (hosts > 1 || (hosts == 0 && request.is_http11)) return refuse(400, "one 'host' header is required");
  return {};
}

// Grows as strings do, but not beyond what the whole will be: limits count the memory that a body holds, and what that
// is must not depend on the pieces it came in. Nothing is taken before it comes, whatever length was announced.
void append_within(std::string& body, std::string_view piece, std::size_t whole) {
  if (body.size() + piece.size() > body.capacity() && body.capacity() > whole / 2) {
    std::string larger;
    larger.reserve(whole);
    larger += body;
    body = std::move(larger);
  }
  body += piece;
}

}  // namespace

RequestParser::RequestParser(const ParserLimits& limits) : limits_(limits), state_(std::make_unique<State>()) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

bool RequestParser::head_complete() const { return state_->request.has_value(); }

std::size_t RequestParser::bytes_held() const {
  return state_->head.capacity() + (state_->request ? state_->request->body.capacity() : 0);
}

bool RequestParser::take_expects_continue() { return std::exchange(state_->expects_continue, false); }

Result<bool, Refusal> RequestParser::feed(std::string_view& in) {
  State& s = *state_;
  if (!s.request) {
    const std::size_t searched = s.head.size() < 3 ? 0 : s.head.size() - 3;
    const std::size_t room = limits_.head_bytes_max + 4 - s.head.size();
    const std::size_t had = s.head.size();
    s.head.append(in.substr(0, room));
    const std::size_t end = s.head.find("\r\n\r\n", searched);
    if (!s.line_checked) {
      if (const auto ok = check_request_line(s.head, limits_.request_line_bytes_max); !ok)
        return tl::make_unexpected(ok.error());
      s.line_checked = s.head.find('\n') != std::string::npos;
    }
    if (end == std::string::npos) {
      if (s.head.size() >= limits_.head_bytes_max + 4) return refuse(431, "the headers are larger than 64 KiB");
      in = {};
      return false;
    }
    s.head.resize(end + 4);
    in.remove_prefix(s.head.size() - had);

    if (const auto ok = read_head(); !ok) return tl::make_unexpected(ok.error());
    std::string().swap(s.head);  // an assignment would keep its memory
  }
  return s.chunked ? feed_chunks(in) : feed_body(in);
}

// Beast is given the head as a whole and nothing else.
Result<void, Refusal> RequestParser::read_head() {
  State& s = *state_;
  beast::request_parser<beast::empty_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(limits_.head_bytes_max + 8));
  parser.body_limit(boost::none);  // ours
  boost::system::error_code error;
  const std::size_t used = parser.put(boost::asio::buffer(s.head), error);
  if (error && error != beast::error::need_more)
    return refuse(400, "the request is not valid HTTP/1.1: " + error.message());
  if (!parser.is_header_done() || used != s.head.size()) return refuse(400, "the headers are not valid HTTP/1.1");

  const auto& message = parser.get();
  Request& request = s.request.emplace();
  request.method = std::string(view_of(message.method_string()));
  request.target = std::string(view_of(message.target()));
  request.is_http11 = message.version() == 11;
  request.keep_alive = message.keep_alive();
  for (const auto& field : message) {
    request.headers.push_back({ascii_lower(view_of(field.name_string())), std::string(view_of(field.value()))});
  }
  if (const auto ok = check_headers(request, limits_); !ok) return ok;

  const auto length = parser.content_length();
  if (parser.chunked()) {
    if (length) return refuse(400, "content-length and transfer-encoding exclude each other");
    s.chunked.emplace();
  } else if (request.header("transfer-encoding")) {
    return refuse(400, "the only transfer coding that is known is chunked");
  }
  s.body_left = length.value_or(0);
  if (s.body_left > limits_.body_bytes_max) return refuse(413, "the body is larger than the limit");
  s.expects_continue = (s.chunked || s.body_left > 0) && request.has_token("expect", "100-continue");
  return {};
}

bool RequestParser::feed_body(std::string_view& in) {
  State& s = *state_;
  const std::string_view piece =
      in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(s.body_left, in.size())));
  append_within(s.request->body, piece, s.request->body.size() + s.body_left);
  in.remove_prefix(piece.size());
  s.body_left -= piece.size();
  return s.body_left == 0;
}

Result<bool, Refusal> RequestParser::feed_chunks(std::string_view& in) {
  switch (state_->chunked->feed(in, state_->request->body, limits_.body_bytes_max)) {
    case ChunkedBody::Progress::kNeedMore:
      return false;
    case ChunkedBody::Progress::kComplete:
      return true;
    case ChunkedBody::Progress::kTooLarge:
      return refuse(413, "the body is larger than the limit");
    case ChunkedBody::Progress::kMalformed:
      break;
  }
  return refuse(400, "the chunks of the body are not valid HTTP/1.1");
}

Request RequestParser::take() {
  Request request = std::move(*state_->request);
  state_ = std::make_unique<State>();
  return request;
}

}  // namespace rt::http
