// Members of topics with presence, and what each of them knows of who is there.
//
// A member keeps no list: it adds up the hashes of the refs that it was told have come, and takes away those that it
// was told have gone. Members whose numbers and sums are equal have the same list; who missed a change, or was told of
// one twice, has another sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/client.h"
#include "load/client_loop.h"

namespace rt::load {

struct PresenceSum {
  std::int64_t present = 0;
  std::uint64_t refs = 0;
  bool operator==(const PresenceSum&) const = default;
};

// All members of one topic.
class PresenceCrowd final : public ClientEvents {
 public:
  PresenceCrowd(ClientLoop& loop, std::uint16_t port, std::string handshake, std::string topic)
      : loop_(loop), port_(port), handshake_(std::move(handshake)), topic_(std::move(topic)) {}

  // Returns when so many more are connected. They have not joined.
  Result<void> connect(std::size_t count);

  enum class Enabled : std::uint8_t { kNo, kYes };  // whether the member asks for the state
  void join(std::size_t member, Enabled enabled);
  void track(std::size_t member, std::uint64_t meta);
  // Both in one write.
  void join_and_track(std::size_t member, std::uint64_t meta);

  std::size_t size() const { return clients_.size(); }
  std::size_t replies() const { return replies_; }
  // Each knows of so many, and all of the same.
  bool agree(std::int64_t present) const;
  const PresenceSum& sum(std::size_t member) const { return sums_[member]; }

  std::uint64_t diffs() const { return diffs_; }
  std::uint64_t states() const { return states_; }
  std::uint64_t bytes() const { return bytes_; }  // of both

  void on_open(Client&) override { ++open_; }
  void on_frame(Client& client, const Frame& frame) override;

 private:
  static constexpr std::size_t kOpeningMax = 200;

  std::string join_message(Enabled enabled) const;
  std::string track_message(std::uint64_t meta) const;
  void connect_more(std::size_t wanted);
  const PresenceSum& read(std::string_view diff);

  ClientLoop& loop_;
  const std::uint16_t port_;
  const std::string handshake_;
  const std::string topic_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<PresenceSum> sums_;
  std::size_t open_ = 0;
  std::size_t replies_ = 0;
  std::uint64_t diffs_ = 0;
  std::uint64_t states_ = 0;
  std::uint64_t bytes_ = 0;
  // Members get the same frame one after the other, so it is read once.
  std::string last_diff_;
  PresenceSum last_change_;
};

}  // namespace rt::load
