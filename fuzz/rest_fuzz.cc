// The REST API takes any request: it answers with JSON or nothing, and what it publishes is fit to be shown to every
// subscriber, in JSON where it calls itself JSON and under a name in UTF-8.
//
// Lines of the input: method, path, content type, authorization, apikey, baggage; the rest is the body.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"
#include "base/utf8.h"
#include "protocol/json/walker.h"
#include "services/rest/api.h"
#include "services/rest/request_id.h"

namespace {

using namespace rt;

class Acme final : public rest::Tenant {
 public:
  const TenantRecord& record() const override { return record_; }
  Result<TokenRef, TokenFault> verify(std::string_view token) override {
    if (token == "good") return std::make_shared<const Token>();
    return tl::make_unexpected(TokenFault{.kind = TokenFaultKind::kNoKeyForKid, .kid = std::string(token)});
  }
  void count_request() override {}
  double requests_per_second() override { return 1.5; }
  double events_per_second() override { return 1.5; }
  void log_error(std::string_view, std::string_view) override {}
  void ask_rights(RightsQuestion question, std::function<void(const RightsAnswer&)> answer) override {
    RT_CHECK(is_valid_utf8(question.topic) && question.headers != nullptr && json::walk_document(*question.headers));
    answer(Rights{.broadcast_write = question.topic.size() % 2 == 0});
  }
  rest::Room take_room(std::size_t bytes) override {
    held_ += bytes;
    return rest::Room::kThere;
  }
  void give_room_back(std::size_t bytes) override { held_ -= bytes; }
  void publish(Message message) override {
    RT_CHECK(message.topic.starts_with(kTopicPrefix) && message.topic.size() > kTopicPrefix.size());
    RT_CHECK(is_valid_utf8(message.topic) && is_valid_utf8(message.event));
    if (message.kind == MessageKind::kUserBinary) return;
    const auto document = json::walk_document(message.payload);
    RT_CHECK(document && document->type == json::Type::kObject && document->text.size() == message.payload.size());
  }

 private:
  TenantRecord record_{.external_id = "acme"};
  std::size_t held_ = 0;
};

std::string_view take_line(std::string_view& rest) {
  const std::size_t end = std::min(rest.find('\n'), rest.size());
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return line;
}

class Zeros final : public Random {
 public:
  void fill(std::span<std::byte> out) override { std::fill(out.begin(), out.end(), std::byte{0}); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  http::Request request;
  request.method = take_line(text);
  request.target = take_line(text);
  request.headers.push_back({"host", "acme"});
  for (const char* name : {"content-type", "authorization", "apikey", "baggage"}) {
    const std::string_view value = take_line(text);
    if (!value.empty()) request.headers.push_back({name, std::string(value)});
  }
  request.body = text;
  Zeros zeros;
  const std::string id = rest::request_id(request, "request-id", zeros);
  RT_CHECK(id.size() >= 10 && id.size() <= 200 && id.find('\n') == std::string::npos);
  int answers = 0;
  const bool is_ours = rest::answer(
      request, [](std::string_view) { return std::make_shared<Acme>(); },
      [&answers](const http::Response& response) {
        ++answers;
        RT_CHECK(response.status >= 200 && response.status < 500);
        RT_CHECK(response.body.empty() || json::walk_document(response.body));
      });
  RT_CHECK(answers == (is_ours ? 1 : 0));
  return 0;
}
