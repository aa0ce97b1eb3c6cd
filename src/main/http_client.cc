#include "main/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>

namespace rt::app {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::uint64_t kBodyBytesMax = 256 * 1024 * 1024;

struct Address {
  std::string host;
  std::string port;
};

Result<Address> address_of(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return fail("expected a URL such as http://127.0.0.1:4000, got \"" + url + "\"");
  std::string rest = url.substr(kScheme.size());
  while (rest.ends_with('/')) rest.pop_back();
  const std::size_t colon = rest.rfind(':');
  const bool has_port = colon != std::string::npos && rest.find(']', colon) == std::string::npos;
  Address out{.host = rest.substr(0, has_port ? colon : std::string::npos),
              .port = has_port ? rest.substr(colon + 1) : "80"};
  if (out.host.starts_with('[') && out.host.ends_with(']')) out.host = out.host.substr(1, out.host.size() - 2);
  if (out.host.empty() || out.port.empty() || rest.find('/') != std::string::npos)
    return fail("expected a URL such as http://127.0.0.1:4000, got \"" + url + "\"");
  return out;
}

// The steps of one call, each of which begins the next one.
class Call {
 public:
  Call(const HttpCall& call, const Address& address) : address_(address) {
    request_.method_string(call.method);
    request_.target(call.path);
    request_.version(11);
    request_.set(beast::http::field::host, address.host);
    request_.set(beast::http::field::connection, "close");
    for (const auto& [name, value] : call.headers) request_.set(name, value);
    request_.body() = call.body;
    request_.prepare_payload();
    parser_.body_limit(kBodyBytesMax);
  }

  Result<HttpAnswer> run() {
    error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(address_.host, address_.port, error);
    if (error) return failed(error);
    stream_.expires_after(kTimeout);
    stream_.async_connect(endpoints, [this](error_code connected, const asio::ip::tcp::endpoint&) {
      if (!note(connected)) return;
      beast::http::async_write(stream_, request_, [this](error_code written, std::size_t) {
        if (!note(written)) return;
        beast::http::async_read(stream_, buffer_, parser_, [this](error_code read, std::size_t) { note(read); });
      });
    });
    io_.run();
    if (error_) return failed(error_);
    return HttpAnswer{static_cast<int>(parser_.get().result_int()), std::move(parser_.get().body())};
  }

 private:
  bool note(const error_code& error) {
    error_ = error;
    return !error;
  }
  tl::unexpected<Error> failed(const error_code& error) const {
    return fail("cannot reach the server at " + address_.host + ":" + address_.port + ": " + error.message());
  }

  const Address address_;
  asio::io_context io_{1};
  beast::tcp_stream stream_{io_};
  beast::flat_buffer buffer_;
  beast::http::request<beast::http::string_body> request_;
  beast::http::response_parser<beast::http::string_body> parser_;
  error_code error_;
};

}  // namespace

Result<HttpAnswer> call_http(const HttpCall& call) {
  const auto address = address_of(call.url);
  if (!address) return tl::make_unexpected(address.error());
  return Call(call, *address).run();
}

}  // namespace rt::app
