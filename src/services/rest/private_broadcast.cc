#include "services/rest/private_broadcast.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "protocol/json/value.h"

namespace rt::rest {
namespace {

using http::Response;

// Topics of one request that are asked for at a time, so that it leaves room for others.
constexpr std::size_t kTopicsAtATime = 64;

struct FaultText {
  RightsFaultKind kind;
  int status;
  std::string_view message;
  std::string_view code;  // for the log
};
constexpr FaultText kFaults[] = {
    {RightsFaultKind::kPolicy, 422, "RLS policy error", "RlsPolicyError"},
    {RightsFaultKind::kCancelled, 422, "Query canceled", "QueryCanceled"},
    {RightsFaultKind::kMissingPartition, 422, "Missing messages partition", "MissingPartition"},
    {RightsFaultKind::kPoolExhausted, 429, "Connection pool exhausted", "IncreaseConnectionPool"},
    {RightsFaultKind::kUnavailable, 422, "Tenant database unavailable", "UnableToConnectToProject"},
    {RightsFaultKind::kNoSlots, 422, "Tenant database has too many connections", "DatabaseLackOfConnections"},
    {RightsFaultKind::kInitializing, 422, "Tenant database initializing", "InitializingProjectConnection"},
    {RightsFaultKind::kTooManyAttempts, 422, "Connect rate limit reached", "DatabaseConnectionRateLimitReached"},
    {RightsFaultKind::kSuspended, 403, "Tenant is suspended", "RealtimeDisabledForTenant"},
    {RightsFaultKind::kOther, 500, "Unable to authorize broadcast", "UnableToSetPolicies"},
};

const FaultText& text_of(RightsFaultKind kind) {
  const auto found = std::ranges::find(kFaults, kind, &FaultText::kind);
  RT_CHECK(found != std::end(kFaults));
  return *found;
}

Response message(int status, std::string_view text) {
  return Response::json(status, "{\"message\":" + json::quoted(text) + "}");
}

RightsQuestion question_of(const Sender& sender, std::string topic) {
  return {.topic = std::move(topic),
          .claims = sender.claims,
          .asked = {.broadcast_write = true},
          .headers = sender.headers};
}

void log_fault(Tenant& tenant, const RightsFault& fault) {
  const FaultText& text = text_of(fault.kind);
  tenant.log_error(
      text.code, "a private broadcast was not sent: " + (fault.text.empty() ? std::string(text.message) : fault.text));
}

std::size_t bytes_of(const Sender& sender) {
  return sender.claims.json.size() + (sender.headers ? sender.headers->size() : 0);
}

std::size_t bytes_of_one(const std::string& topic, const std::string& payload) {
  return sizeof(BatchMessage) + topic.size() + payload.size();
}

// The private messages of one request.
class PrivateBatch : public std::enable_shared_from_this<PrivateBatch> {
 public:
  PrivateBatch(std::shared_ptr<Tenant> tenant, const Sender& sender, std::vector<BatchMessage> messages,
               HeldMessages held, std::function<void()> done)
      : tenant_(std::move(tenant)), sender_(sender), held_(std::move(held)), done_(std::move(done)) {
    std::unordered_map<std::string, std::size_t> places;
    for (BatchMessage& one : messages) {
      const auto [place, is_new] = places.emplace(one.topic, topics_.size());
      if (is_new) topics_.emplace_back();
      topics_[place->second].push_back(std::move(one));
    }
  }

  // An answer may come within the call that asks.
  void ask_next() {
    if (std::exchange(is_asking_, true)) return;
    const auto keep = shared_from_this();
    while (under_way_ < kTopicsAtATime && next_ < topics_.size()) {
      ++under_way_;
      const std::size_t topic = next_++;
      tenant_->ask_rights(question_of(sender_, topics_[topic].front().topic),
                          [keep, topic](const RightsAnswer& answer) { keep->on_rights(topic, answer); });
    }
    is_asking_ = false;
    if (under_way_ == 0 && next_ == topics_.size() && done_) std::exchange(done_, nullptr)();
  }

 private:
  void on_rights(std::size_t topic, const RightsAnswer& answer) {
    --under_way_;
    if (!answer) log_fault(*tenant_, answer.error());
    const bool may = answer && answer->broadcast_write == true;
    for (BatchMessage& one : std::exchange(topics_[topic], {})) {
      if (may) tenant_->publish(message_of(std::move(one)));
    }
    ask_next();
  }

  const std::shared_ptr<Tenant> tenant_;
  const Sender sender_;
  const HeldMessages held_;
  std::function<void()> done_;
  std::vector<std::vector<BatchMessage>> topics_;
  std::size_t next_ = 0;
  std::size_t under_way_ = 0;
  bool is_asking_ = false;
};

}  // namespace

Result<HeldMessages, Response> HeldMessages::hold(std::shared_ptr<Tenant> tenant, std::size_t bytes) {
  switch (tenant->take_room(bytes)) {
    case Room::kTenantIsFull:
      return tl::make_unexpected(
          message(429, "Too many private messages wait for the tenant database, please send them again later"));
    case Room::kNodeIsFull:
      return tl::make_unexpected(
          message(503, "Too many private messages wait for tenant databases, please send them again later"));
    case Room::kThere:
      break;
  }
  return HeldMessages(std::move(tenant), bytes);
}

HeldMessages::~HeldMessages() {
  if (tenant_) tenant_->give_room_back(bytes_);
}

std::size_t bytes_of(const Sender& sender, const std::vector<BatchMessage>& messages) {
  std::size_t bytes = bytes_of(sender);
  for (const BatchMessage& one : messages) bytes += bytes_of_one(one.topic, one.payload);
  return bytes;
}

void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, Message out, const Respond& respond) {
  RT_CHECK(out.privacy == Privacy::kPrivate);
  auto held = HeldMessages::hold(tenant, bytes_of(sender) + bytes_of_one(out.topic, out.payload));
  if (!held) return respond(held.error());
  auto question = question_of(sender, out.topic.substr(kTopicPrefix.size()));
  struct Kept {
    HeldMessages held;
    Message message;
  };
  const auto kept = std::make_shared<Kept>(Kept{*std::move(held), std::move(out)});
  tenant->ask_rights(std::move(question), [tenant, kept, respond](const RightsAnswer& answer) {
    if (!answer) {
      log_fault(*tenant, answer.error());
      const FaultText& text = text_of(answer.error().kind);
      return respond(message(text.status, text.message));
    }
    if (answer->broadcast_write != true) return respond(message(403, "Unauthorized"));
    tenant->publish(std::move(kept->message));
    respond({.status = 202});
  });
}

void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, std::vector<BatchMessage> messages,
                  HeldMessages held, std::function<void()> done) {
  std::make_shared<PrivateBatch>(tenant, sender, std::move(messages), std::move(held), std::move(done))->ask_next();
}

}  // namespace rt::rest
