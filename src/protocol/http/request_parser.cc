#include "protocol/http/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

namespace rt::http {

namespace beast = boost::beast::http;

struct RequestParser::State {
  std::string head;  // until it is complete
  bool line_checked = false;
  std::optional<beast::request_parser<beast::string_body>> parser;  // set once the head is complete
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
    if (head.size() > bytes_max) return refuse(414, "the request line is longer than " + std::to_string(bytes_max) + " bytes");
    return {};
  }
  if (end > bytes_max + 1) return refuse(414, "the request line is longer than " + std::to_string(bytes_max) + " bytes");
  const std::string_view line = head.substr(0, end);
  if (!line.ends_with("\r") || line.find(" HTTP/1.") == std::string_view::npos) {
    return refuse(400, "the request line is not of the form: METHOD target HTTP/1.1");
  }
  return {};
}

}  // namespace

RequestParser::RequestParser(const ParserLimits& limits) : limits_(limits), state_(std::make_unique<State>()) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

bool RequestParser::head_complete() const { return state_->parser.has_value(); }

bool RequestParser::take_expects_continue() { return std::exchange(state_->expects_continue, false); }

Result<bool, Refusal> RequestParser::feed(std::string_view& in) {
  State& s = *state_;
  if (!s.parser) {
    const std::size_t searched = s.head.size() < 3 ? 0 : s.head.size() - 3;
    const std::size_t room = limits_.head_bytes_max + 4 - s.head.size();
    const std::size_t had = s.head.size();
    s.head.append(in.substr(0, room));
    const std::size_t end = s.head.find("\r\n\r\n", searched);
    if (!s.line_checked) {
      if (const auto ok = check_request_line(s.head, limits_.request_line_bytes_max); !ok) return tl::make_unexpected(ok.error());
      s.line_checked = s.head.find('\n') != std::string::npos;
    }
    if (end == std::string::npos) {
      if (s.head.size() >= limits_.head_bytes_max + 4) return refuse(431, "the headers are larger than 64 KiB");
      in = {};
      return false;
    }
    s.head.resize(end + 4);
    in.remove_prefix(s.head.size() - had);

    s.parser.emplace();
    s.parser->header_limit(static_cast<std::uint32_t>(limits_.head_bytes_max + 8));
    s.parser->body_limit(limits_.body_bytes_max);
    boost::system::error_code error;
    const std::size_t used = s.parser->put(boost::asio::buffer(s.head), error);
    if (error && error != beast::error::need_more) {
      if (error == beast::error::body_limit) return refuse(413, "the body is larger than the limit");
      return refuse(400, "the request is not valid HTTP/1.1: " + error.message());
    }
    if (!s.parser->is_header_done() || used != s.head.size()) return refuse(400, "the headers are not valid HTTP/1.1");
    s.head = {};

    std::size_t headers = 0;
    std::size_t hosts = 0;
    for (const auto& field : s.parser->get()) {
      if (++headers > limits_.headers_max) return refuse(431, "there are more than 100 headers");
      const bool is_host = field.name() == beast::field::host;
      hosts += is_host;
      if (field.value().size() > (is_host ? limits_.host_bytes_max : limits_.header_value_bytes_max)) {
        return refuse(431, "the value of header '" + std::string(view_of(field.name_string())) + "' is too long");
      }
    }
    if (hosts > 1 || (hosts == 0 && s.parser->get().version() == 11)) return refuse(400, "one 'host' header is required");
    if (s.parser->get().has_content_length() && s.parser->chunked()) {
      return refuse(400, "content-length and transfer-encoding exclude each other");
    }
    s.expects_continue = ascii_lower(view_of(s.parser->get()[beast::field::expect])) == "100-continue" && !s.parser->is_done();
  }
  while (!s.parser->is_done()) {
    if (in.empty()) return false;
    boost::system::error_code error;
    const std::size_t used = s.parser->put(boost::asio::buffer(in.data(), in.size()), error);
    in.remove_prefix(used);
    if (error == beast::error::need_more) {
      // Chunk headers are only taken whole; what is left of one is kept by the caller and offered again with more behind it.
      if (in.size() > limits_.header_value_bytes_max) return refuse(400, "a chunk header is too long");
      return false;
    }
    if (error == beast::error::body_limit) return refuse(413, "the body is larger than the limit");
    if (error) return refuse(400, "the body is not valid HTTP/1.1: " + error.message());
  }
  return true;
}

Request RequestParser::take() {
  auto message = state_->parser->release();
  Request request;
  request.method = std::string(view_of(message.method_string()));
  request.target = std::string(view_of(message.target()));
  request.is_http11 = message.version() == 11;
  request.keep_alive = message.keep_alive();
  for (const auto& field : message) {
    request.headers.push_back({ascii_lower(view_of(field.name_string())), std::string(view_of(field.value()))});
  }
  request.body = std::move(message.body());
  state_ = std::make_unique<State>();
  return request;
}

}  // namespace rt::http
