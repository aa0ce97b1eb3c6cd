#include "main/http_client.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <optional>
#include <system_error>
#include <thread>

#include "main/http_url.h"

namespace rt::app {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

struct HttpClient::Impl {
  std::optional<ssl::context> tls;  // made for the first call that needs it
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_waiting{io.get_executor()};
  std::size_t calls = 0;  // not ended
};

namespace {

constexpr std::uint64_t kBodyBytesMax = 256 * 1024 * 1024;

using Endpoints = asio::ip::tcp::resolver::results_type;

// A look-up cannot be called off, so it has a thread that nobody waits for. `done` is called by `client`'s wait().
void look_up(const std::shared_ptr<HttpClient::Impl>& client, const HttpUrl& url,
             std::function<void(error_code, Endpoints)> done) {
  try {
    std::thread([client, host = url.host, port = url.port, done = std::move(done)]() mutable {
      error_code error;
      asio::io_context here{1};
      Endpoints endpoints = asio::ip::tcp::resolver(here).resolve(host, port, error);
      asio::post(client->io,
                 [error, endpoints = std::move(endpoints), done = std::move(done)] { done(error, endpoints); });
    }).detach();
  } catch (const std::system_error& error) {
    asio::post(client->io,
               [done, code = error_code(error.code().value(), boost::system::system_category())] { done(code, {}); });
  }
}

Result<ssl::context*> tls_context(HttpClient::Impl& client) {
  if (!client.tls) {
    client.tls.emplace(ssl::context::tls_client);
    error_code error;
    client.tls->set_default_verify_paths(error);
    if (error) return fail("cannot read the certificates that this system trusts: " + error.message());
  }
  return &*client.tls;
}

// The steps of one call, each of which begins the next one. It lives as long as one of its handlers waits.
class Conversation : public std::enable_shared_from_this<Conversation> {
 public:
  Conversation(HttpClient::Impl& client, const HttpCall& call, HttpUrl url, HttpClient::Done done)
      : client_(client),
        url_(std::move(url)),
        step_timeout_(call.step_timeout),
        done_(std::move(done)),
        plain_(client.io),
        out_of_time_(client.io, call.total_timeout) {
    request_.method_string(call.method);
    request_.target(call.path);
    request_.version(11);
    request_.set(beast::http::field::host, url_.authority());
    request_.set(beast::http::field::connection, "close");
    for (const auto& [name, value] : call.headers) request_.set(name, value);
    request_.body() = call.body;
    request_.prepare_payload();
    parser_.body_limit(kBodyBytesMax);
  }

  void start(const std::shared_ptr<HttpClient::Impl>& client) {
    if (url_.uses_tls) {
      const auto context = tls_context(*client);
      if (!context) return end(tl::make_unexpected(context.error()));
      tls_.emplace(std::move(plain_), **context);
      tls_->set_verify_mode(ssl::verify_peer);
      tls_->set_verify_callback(ssl::host_name_verification(url_.host));
      error_code is_name;
      asio::ip::make_address(url_.host, is_name);
      if (is_name) SSL_set_tlsext_host_name(tls_->native_handle(), url_.host.c_str());
    }
    out_of_time_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->end(fail(self->whom() + ": it took too long"));
    });
    look_up(client, url_, [self = shared_from_this()](error_code error, const Endpoints& endpoints) {
      if (self->goes_on(error)) self->connect(endpoints);
    });
  }

 private:
  beast::tcp_stream& tcp() { return tls_ ? tls_->next_layer() : plain_; }
  std::string whom() const { return "cannot reach the server at " + url_.authority(); }

  // False: the call has ended, by this error if not before.
  bool goes_on(error_code error) {
    if (!done_) return false;
    if (!error) return true;
    end(fail(whom() + ": " + error.message()));
    return false;
  }

  void end(Result<HttpAnswer> answer) {
    if (!done_) return;
    const HttpClient::Done done = std::exchange(done_, nullptr);
    out_of_time_.cancel();
    tcp().close();
    --client_.calls;
    done(std::move(answer));
  }

  void connect(const Endpoints& endpoints) {
    tcp().expires_after(step_timeout_);
    tcp().async_connect(endpoints, [self = shared_from_this()](error_code error, const asio::ip::tcp::endpoint&) {
      if (!self->goes_on(error)) return;
      if (!self->tls_) return self->send(self->plain_);
      self->tls_->async_handshake(ssl::stream_base::client, [self](error_code unsafe) {
        if (self->goes_on(unsafe)) self->send(*self->tls_);
      });
    });
  }

  template <class Stream>
  void send(Stream& stream) {
    tcp().expires_after(step_timeout_);
    beast::http::async_write(stream, request_, [self = shared_from_this(), &stream](error_code error, std::size_t) {
      if (!self->goes_on(error)) return;
      self->tcp().expires_after(self->step_timeout_);
      beast::http::async_read(stream, self->buffer_, self->parser_, [self](error_code unread, std::size_t) {
        if (!self->goes_on(unread)) return;
        auto& response = self->parser_.get();
        self->end(HttpAnswer{static_cast<int>(response.result_int()), std::move(response.body())});
      });
    });
  }

  HttpClient::Impl& client_;
  const HttpUrl url_;
  const std::chrono::milliseconds step_timeout_;
  HttpClient::Done done_;  // null once it was called
  beast::tcp_stream plain_;
  std::optional<beast::ssl_stream<beast::tcp_stream>> tls_;  // owns the stream, where there is one
  asio::steady_timer out_of_time_;
  beast::flat_buffer buffer_;
  beast::http::request<beast::http::string_body> request_;
  beast::http::response_parser<beast::http::string_body> parser_;
};

}  // namespace

HttpClient::HttpClient() : impl_(std::make_shared<Impl>()) {}
HttpClient::~HttpClient() { stop(); }

void HttpClient::start(const HttpCall& call, Done done) {
  auto url = parse_http_url(call.url);
  if (!url) return done(tl::make_unexpected(url.error()));
  ++impl_->calls;
  std::make_shared<Conversation>(*impl_, call, std::move(*url), std::move(done))->start(impl_);
}

void HttpClient::wait() {
  while (impl_->calls > 0 && !impl_->io.stopped()) impl_->io.run_one();
}

void HttpClient::stop() { impl_->io.stop(); }

Result<HttpAnswer> call_http(const HttpCall& call) {
  Result<HttpAnswer> answer;
  HttpClient client;
  client.start(call, [&answer](Result<HttpAnswer> got) { answer = std::move(got); });
  client.wait();
  return answer;
}

}  // namespace rt::app
