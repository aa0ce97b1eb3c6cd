#include "main/rest_tenant.h"

#include <utility>

namespace rt::app {
namespace {

// What the database said, on its way to the worker that has the request.
class AnswerMail final : public net::Mail {
 public:
  AnswerMail(std::function<void(const RightsAnswer&)> take, RightsAnswer answer)
      : take_(std::move(take)), answer_(std::move(answer)) {}
  void deliver() override { take_(answer_); }

 private:
  std::function<void(const RightsAnswer&)> take_;
  RightsAnswer answer_;
};

class RestTenant final : public rest::Tenant {
 public:
  RestTenant(realtime::Shard& shard, std::string request_id, std::shared_ptr<realtime::LiveTenant> tenant)
      : shard_(shard),
        request_id_(std::move(request_id)),
        tenant_(std::move(tenant)),
        node_waiting_(shard.node().rest_waiting) {}

  const TenantRecord& record() const override { return tenant_->record(shard_.worker().index()); }
  Result<TokenRef, TokenFault> verify(std::string_view token) override { return shard_.verify(record(), token); }
  void count_request() override { shard_.count(tenant_, realtime::kRequestRate, 1); }
  double requests_per_second() override { return tenant_->requests.per_second(); }
  double events_per_second() override { return tenant_->events.per_second(); }
  void log_error(std::string_view code, std::string_view text) override {
    shard_.log(LogLevel::kError, {.tenant = record().external_id, .error_code = code, .request_id = request_id_}, text);
  }
  void ask_rights(RightsQuestion question, std::function<void(const RightsAnswer&)> answer) override {
    const realtime::RightsSource& source = shard_.node().ask_rights;
    if (!source) return answer(tl::make_unexpected(RightsFault{RightsFaultKind::kUnavailable, {}}));
    source(record().external_id, std::move(question),
           [&worker = shard_.worker(), answer = std::move(answer)](RightsAnswer said) {
             worker.post(std::make_unique<AnswerMail>(answer, std::move(said)));
           });
  }
  rest::Room take_room(std::size_t bytes) override {
    if (!tenant_->rest_waiting.take(bytes)) {
      shard_.counters().rest_refused_tenant_full.add();
      return rest::Room::kTenantIsFull;
    }
    if (node_waiting_->take(bytes)) return rest::Room::kThere;
    tenant_->rest_waiting.give_back(bytes);
    shard_.counters().rest_refused_node_full.add();
    return rest::Room::kNodeIsFull;
  }
  void give_room_back(std::size_t bytes) override {
    tenant_->rest_waiting.give_back(bytes);
    node_waiting_->give_back(bytes);
  }
  void publish(Message message) override {
    message.tenant = record().external_id;
    message.topic_hash = hash_of(shard_.node().hash_key, message.key());
    shard_.count(tenant_, realtime::kEventRate, 1);
    shard_.publish(std::move(message), tenant_, SocketId{0});
  }

 private:
  realtime::Shard& shard_;
  const std::string request_id_;
  const std::shared_ptr<realtime::LiveTenant> tenant_;
  const std::shared_ptr<ByteBudget> node_waiting_;
};

}  // namespace

rest::FindTenant rest_tenants(realtime::Shard& shard, std::string_view request_id) {
  return [&shard, request_id](std::string_view host) -> std::shared_ptr<rest::Tenant> {
    auto tenant = shard.node().tenants.of_host(host);
    if (!tenant) return nullptr;
    return std::make_shared<RestTenant>(shard, std::string(request_id), std::move(tenant));
  };
}

}  // namespace rt::app
