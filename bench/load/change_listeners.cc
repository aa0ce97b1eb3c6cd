#include "load/change_listeners.h"

#include <algorithm>
#include <utility>

#include "load/client_frame.h"

namespace rt::load {
namespace {

constexpr std::size_t kTextBytesShown = 500;
constexpr std::size_t kBeforePayloadMax = 256;  // of a frame: refs, topic and event

std::string join_message(const Listener& listener, std::size_t channel) {
  const std::string ref = "\"" + std::to_string(channel + 1) + "\"";
  std::string entries;
  for (const std::string& entry : listener.channels[channel].entries)
    entries.append(entries.empty() ? "" : ",").append(entry);
  return "[" + ref + "," + ref + ",\"" + listener.channels[channel].topic +
         R"(","phx_join",{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":false},)" +
         R"("postgres_changes":[)" + entries + R"(],"private":false},"access_token":")" + listener.token + "\"}]";
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

std::string change_entry(std::string_view table, std::string_view filter) {
  std::string out = R"({"event":"INSERT","schema":"public","table":")" + std::string(table) + "\"";
  if (!filter.empty()) out.append(R"(,"filter":")").append(filter).append("\"");
  return out + "}";
}

Result<void> ChangeListeners::add(std::vector<Listener> listeners) {
  for (Listener& listener : listeners) {
    members_.emplace_back();
    members_.back().what = std::move(listener);
  }
  connect_more();
  return loop_.run_until([this] { return subscribed_ == members_.size(); }, "all channels to be subscribed");
}

void ChangeListeners::begin() {
  received_ = 0;
  for (Member& member : members_) member.received = 0;
}

Result<void> ChangeListeners::wait_for(std::size_t deliveries) {
  const auto done = loop_.run_until([&] { return received_ >= deliveries; }, "row changes");
  if (!done) return fail(done.error(), std::to_string(received_) + " of " + std::to_string(deliveries) + " were told");
  return {};
}

Result<void> ChangeListeners::check_each(std::size_t deliveries) const {
  for (const Member& member : members_) {
    if (member.received == deliveries) continue;
    return fail("listener " + std::to_string(&member - members_.data()) + " was told of " +
                std::to_string(member.received) + " rows instead of " + std::to_string(deliveries));
  }
  return {};
}

void ChangeListeners::connect_more() {
  while (connected_ < members_.size() && connected_ - subscribed_ < kOpeningMax) {
    auto client = Client::connect(loop_, port_, handshake_, connected_, *this);
    if (!client) return loop_.fail_with(client.error().message);
    members_[connected_++].client = std::move(*client);
  }
}

void ChangeListeners::on_open(Client& client) {
  if (const auto stamped = client.stamp_arrivals(); !stamped) return loop_.fail_with(stamped.error().message);
  const Listener& what = members_[client.id()].what;
  std::string frames;
  for (std::size_t channel = 0; channel < what.channels.size(); ++channel)
    append_client_frame(frames, ws::Opcode::kText, join_message(what, channel));
  client.send_bytes(frames);
}

void ChangeListeners::on_frame(Client& client, const Frame& frame) {
  Member& member = members_[client.id()];
  const std::string_view head = frame.payload.substr(0, kBeforePayloadMax);
  if (has(head, R"("postgres_changes",{"ids":[)")) return on_delivery(member, frame);
  if (has(head, "\"phx_reply\"") && has(head, R"("status":"ok")")) return;
  if (has(head, "\"presence_state\"")) return;
  if (!has(frame.payload, "Subscribed to PostgreSQL"))
    return loop_.fail_with("not what a listener expects: " + std::string(frame.payload.substr(0, kTextBytesShown)));
  if (++member.subscribed != member.what.channels.size()) return;
  ++subscribed_;
  connect_more();
}

void ChangeListeners::on_delivery(Member& member, const Frame& frame) {
  if (sample_.empty()) sample_ = frame.wire;
  ++received_;
  ++member.received;
  last_arrived_ = std::max(last_arrived_, frame.arrived);
}

}  // namespace rt::load
