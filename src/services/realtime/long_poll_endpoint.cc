#include "services/realtime/long_poll_endpoint.h"

#include <utility>

#include "protocol/http/cors.h"
#include "protocol/json/value.h"
#include "services/realtime/shard.h"
#include "services/realtime/socket_endpoint.h"

namespace rt::realtime {
namespace {

constexpr int kForbidden = 403;  // whatever the reason: clients know no other refusal

// What a handshake would have been refused with, for a client that looks into the body only.
http::Response as_long_poll(const HandshakeRefusal& refusal) {
  if (refusal.response.body.empty()) return refused_answer(200, kForbidden, "vsn must be 1.0.x or 2.0.x");
  const auto text = json::Value(refusal.response.body).member("error");
  return refused_answer(200, kForbidden, text ? text->string().value_or("") : "");
}

std::size_t bytes_of(const http::Request& request) {
  std::size_t bytes = request.target.size() + request.body.size();
  for (const http::Header& header : request.headers) bytes += sizeof header + header.name.size() + header.value.size();
  return bytes;
}

}  // namespace

struct LongPollEndpoint::RequestMail final : public net::Mail {
  RequestMail(LongPollEndpoint& owner, Shard& to, Shard& home_shard, http::Request what, LongPolls::Answer whom)
      : endpoint(owner), shard(to), home(home_shard), request(std::move(what)), answer(std::move(whom)) {}
  void deliver() override { endpoint.serve(shard, home, std::move(request), std::move(answer)); }

  LongPollEndpoint& endpoint;
  Shard& shard;
  Shard& home;
  http::Request request;
  LongPolls::Answer answer;
};

Shard& LongPollEndpoint::shard_of(const net::Worker& worker) const {
  return *node_.shards[static_cast<std::size_t>(worker.index())];
}

void LongPollEndpoint::on_request(net::Worker& worker, http::Request request, LongPolls::Answer answer) {
  if (request.method == "OPTIONS") return answer(http::preflight(request, "GET, POST, OPTIONS"));
  if (request.method != "GET" && request.method != "POST") return answer({.status = 400});
  const auto owner = LongPollToken::worker_of(token_of(request));
  Shard& here = shard_of(worker);
  Shard& there = owner && *owner < node_.shards.size() ? *node_.shards[*owner] : here;
  if (&there == &here) return serve(here, here, std::move(request), std::move(answer));
  send(here, there, here, std::move(request), std::move(answer));
}

void LongPollEndpoint::send(Shard& from, Shard& to, Shard& home, http::Request request, LongPolls::Answer answer) {
  const std::size_t bytes = sizeof(RequestMail) + bytes_of(request);
  from.worker().post_to(to.worker(),
                        std::make_unique<RequestMail>(*this, to, home, std::move(request), std::move(answer)), bytes);
}

void LongPollEndpoint::serve(Shard& shard, Shard& home, http::Request request, LongPolls::Answer answer) {
  const auto tenant = node_.tenants.of_host(request.host());
  const std::string token = token_of(request);
  if (request.method == "POST")
    return shard.long_polls().post(token, tenant.get(), PostedFrames(std::move(request)), answer);
  if (shard.long_polls().poll(token, tenant.get(), answer)) return;
  if (&shard == &home) return open(home, request, std::move(answer));
  // Else a token that somebody made up would say where all new sessions are.
  send(shard, home, home, std::move(request), std::move(answer));
}

void LongPollEndpoint::open(Shard& shard, const http::Request& request, LongPolls::Answer answer) {
  auto start = check_client(request, node_.tenants, handshake_host(shard));
  if (!start) {
    const HandshakeRefusal& refusal = start.error();
    note_refusal(shard, Transport::kLongPoll, request, refusal);
    if (refusal.when == HandshakeRefusal::When::kNow) return answer(as_long_poll(refusal));
    return shard.answer_later(std::move(answer), as_long_poll(refusal));
  }
  const std::shared_ptr<LiveTenant> tenant = start->tenant;
  const phoenix::Version version = start->form.version;
  const auto opened = shard.long_polls().open(std::move(*start), answer);
  if (opened) return shard.note_handshake(Transport::kLongPoll, HandshakeResult::kOk, version);
  const std::string& text = opened.error().message;
  shard.counters().long_polls_refused.add();
  note_refusal(shard, Transport::kLongPoll, request,
               {.code = "ConnectionRateLimitReached", .log_text = text, .tenant = tenant, .version = version});
  shard.answer_later(std::move(answer), refused_answer(200, kForbidden, text));
}

}  // namespace rt::realtime
