#include "load/presence_crowd.h"

#include <algorithm>
#include <utility>

#include "base/siphash.h"
#include "load/client_frame.h"

namespace rt::load {
namespace {

constexpr std::string_view kRef = "\"phx_ref\":\"";
constexpr std::size_t kRefBytes = 16;

PresenceSum sum_of(std::string_view part) {
  PresenceSum sum;
  for (std::size_t at = part.find(kRef); at != std::string_view::npos; at = part.find(kRef, at + kRef.size())) {
    ++sum.present;
    sum.refs += siphash({1, 2}, part.substr(at + kRef.size(), kRefBytes));
  }
  return sum;
}

}  // namespace

Result<void> PresenceCrowd::connect(std::size_t count) {
  const std::size_t wanted = clients_.size() + count;
  clients_.reserve(wanted);
  sums_.resize(wanted);
  return loop_.run_until(
      [&] {
        connect_more(wanted);
        return open_ == wanted;
      },
      "all members to be connected");
}

void PresenceCrowd::connect_more(std::size_t wanted) {
  while (clients_.size() < wanted && clients_.size() - open_ < kOpeningMax) {
    auto client = Client::connect(loop_, port_, handshake_, clients_.size(), *this);
    if (!client) return loop_.fail_with(client.error().message);
    clients_.push_back(std::move(*client));
  }
}

// Without a key of its own a member gets one of 36 characters.
std::string PresenceCrowd::join_message(Enabled enabled) const {
  return R"(["1","1",")" + topic_ + R"(","phx_join",{"config":{"presence":{"key":"","enabled":)" +
         (enabled == Enabled::kYes ? "true" : "false") + "}}}]";
}

std::string PresenceCrowd::track_message(std::uint64_t meta) const {
  return R"(["1","2",")" + topic_ + R"(","presence",{"type":"presence","event":"track","payload":{"n":)" +
         std::to_string(meta) + "}}]";
}

void PresenceCrowd::join(std::size_t member, Enabled enabled) { clients_[member]->send_text(join_message(enabled)); }

void PresenceCrowd::track(std::size_t member, std::uint64_t meta) { clients_[member]->send_text(track_message(meta)); }

void PresenceCrowd::join_and_track(std::size_t member, std::uint64_t meta) {
  std::string frames;
  append_client_frame(frames, ws::Opcode::kText, join_message(Enabled::kYes));
  append_client_frame(frames, ws::Opcode::kText, track_message(meta));
  clients_[member]->send_bytes(frames);
}

bool PresenceCrowd::agree(std::int64_t present) const {
  return std::ranges::all_of(sums_,
                             [&](const PresenceSum& sum) { return sum.present == present && sum == sums_.front(); });
}

void PresenceCrowd::on_frame(Client& client, const Frame& frame) {
  PresenceSum& sum = sums_[client.id()];
  const std::string_view head = frame.payload.substr(0, 200);
  if (head.find("\"presence_diff\"") != std::string_view::npos) {
    ++diffs_;
    bytes_ += frame.wire.size();
    const PresenceSum& change = read(frame.payload);
    sum.present += change.present;
    sum.refs += change.refs;
  } else if (head.find("\"presence_state\"") != std::string_view::npos) {
    ++states_;
    bytes_ += frame.wire.size();
    sum = sum_of(frame.payload);
  } else if (head.find(R"("status":"ok")") != std::string_view::npos) {
    ++replies_;
  } else {
    loop_.fail_with("a member got something else than presence: " + std::string(head));
  }
}

const PresenceSum& PresenceCrowd::read(std::string_view diff) {
  if (diff == last_diff_) return last_change_;
  last_diff_ = diff;
  const std::size_t leaves = diff.find("\"leaves\":");
  const PresenceSum come = sum_of(diff.substr(0, leaves));
  const PresenceSum gone = sum_of(diff.substr(leaves));
  last_change_ = {.present = come.present - gone.present, .refs = come.refs - gone.refs};
  return last_change_;
}

}  // namespace rt::load
