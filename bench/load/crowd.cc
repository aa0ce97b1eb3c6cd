#include "load/crowd.h"

#include <string_view>
#include <utility>

#include "load/client_frame.h"

namespace rt::load {
namespace {

std::string join_message(const std::string& ref, const std::string& topic) {
  return "[\"" + ref + "\",\"" + ref + "\",\"" + topic +
         R"(","phx_join",{"config":{"broadcast":{"self":false,"ack":false}}}])";
}

}  // namespace

Crowd::Crowd(ClientLoop& loop, std::uint16_t port, std::string handshake, Wire wire)
    : loop_(loop), port_(port), handshake_(std::move(handshake)), wire_(wire) {}

Result<void> Crowd::add(std::size_t count, const std::function<Topics(std::size_t)>& topics_of) {
  topics_of_ = topics_of;
  wanted_ += count;
  members_.reserve(wanted_);
  connect_more();
  return loop_.run_until([this] { return joined_ == wanted_; }, "all clients to be joined");
}

void Crowd::tell(ClientEvents& events) {
  for (Member& member : members_) member.client->tell(events);
}

void Crowd::on_open(Client& client) {
  std::string frames;
  const Topics topics = topics_of_(client.id());
  for (std::size_t n = 0; n < topics.size(); ++n)
    append_client_frame(frames, ws::Opcode::kText, join_message(std::to_string(n + 1), topics[n]));
  members_[client.id()].joins_missing = topics.size();
  client.send_bytes(frames);
}

void Crowd::on_frame(Client& client, const Frame& frame) {
  if (frame.payload.find("\"phx_reply\"") == std::string_view::npos) return;
  if (frame.payload.find(R"("status":"ok")") == std::string_view::npos)
    return loop_.fail_with("a join was refused: " + std::string(frame.payload));
  if (--members_[client.id()].joins_missing != 0) return;
  ++joined_;
  connect_more();
}

void Crowd::connect_more() {
  while (members_.size() < wanted_ && members_.size() - joined_ < kOpeningMax) {
    auto client = Client::connect(loop_, port_, handshake_, members_.size(), *this, wire_);
    if (!client) return loop_.fail_with(client.error().message);
    members_.push_back({.client = std::move(*client)});
  }
}

}  // namespace rt::load
