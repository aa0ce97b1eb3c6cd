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
  RequestMail(LongPollEndpoint& owner, Shard& to, const Asker& who, http::Request what, LongPolls::Answer whom)
      : endpoint(owner), shard(to), asker(who), request(std::move(what)), answer(std::move(whom)) {}
  void deliver() override { endpoint.serve(shard, asker, std::move(request), std::move(answer)); }

  LongPollEndpoint& endpoint;
  Shard& shard;
  const Asker asker;
  http::Request request;
  LongPolls::Answer answer;
};

struct LongPollEndpoint::ForgetMail final : public net::Mail {
  ForgetMail(Shard& to, std::string poll, const Asker& who) : shard(to), token(std::move(poll)), asker(who) {}
  void deliver() override { shard.long_polls().forget(token, asker); }

  Shard& shard;
  const std::string token;
  const Asker asker;
};

Shard& LongPollEndpoint::shard_of(int worker) const { return *node_.shards[static_cast<std::size_t>(worker)]; }

void LongPollEndpoint::on_request(net::Worker& worker, net::ConnectionId connection, http::Request request,
                                  LongPolls::Answer answer) {
  if (request.method == "OPTIONS") return answer(http::preflight(request, "GET, POST, OPTIONS"));
  if (request.method != "GET" && request.method != "POST") return answer({.status = 400});
  const std::string token = token_of(request);
  const auto owner = LongPollToken::worker_of(token);
  Shard& here = shard_of(worker.index());
  Shard& there = owner && *owner < node_.shards.size() ? *node_.shards[*owner] : here;
  const Asker asker{worker.index(), connection};
  if (request.method == "GET" && owner) {
    waiting_[static_cast<std::size_t>(worker.index())].insert_or_assign(connection.slot, token);
    worker.watch_for_end(connection);
  }
  if (&there == &here) return serve(here, asker, std::move(request), std::move(answer));
  send(here, there, asker, std::move(request), std::move(answer));
}

void LongPollEndpoint::on_answered(net::Worker& worker, net::ConnectionId connection, std::optional<int> status) {
  auto& waiting = waiting_[static_cast<std::size_t>(worker.index())];
  const auto poll = waiting.find(connection.slot);
  if (poll == waiting.end()) return;
  const std::string token = std::move(poll->second);
  waiting.erase(poll);
  const auto owner = LongPollToken::worker_of(token);
  if (status || !owner || *owner >= node_.shards.size()) return;
  // Behind the poll, which went the same way.
  Shard& there = *node_.shards[*owner];
  there.worker().post(std::make_unique<ForgetMail>(there, token, Asker{worker.index(), connection}));
}

void LongPollEndpoint::send(Shard& from, Shard& to, const Asker& asker, http::Request request,
                            LongPolls::Answer answer) {
  const std::size_t bytes = sizeof(RequestMail) + bytes_of(request);
  from.worker().post_to(to.worker(),
                        std::make_unique<RequestMail>(*this, to, asker, std::move(request), std::move(answer)), bytes);
}

void LongPollEndpoint::serve(Shard& shard, const Asker& asker, http::Request request, LongPolls::Answer answer) {
  const auto tenant = node_.tenants.of_host(request.host());
  const std::string token = token_of(request);
  if (request.method == "POST")
    return shard.long_polls().post(token, tenant.get(), PostedFrames(std::move(request)), answer);
  if (shard.long_polls().poll(token, tenant.get(), asker, answer)) return;
  Shard& home = shard_of(asker.worker);
  if (&shard == &home) return open(home, request, std::move(answer));
  // Else a token that somebody made up would say where all new sessions are.
  send(shard, home, asker, std::move(request), std::move(answer));
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
