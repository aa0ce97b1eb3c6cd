// Many clients of one server that connect and join their topics, a bounded number of them at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "load/client.h"
#include "load/client_loop.h"

namespace rt::load {

class Crowd final : public ClientEvents {
 public:
  using Topics = std::vector<std::string>;  // of one client; the join_ref of the n-th is n, from 1

  Crowd(ClientLoop& loop, std::uint16_t port, std::string handshake, Wire wire = Wire::kPlain);

  // Returns when so many more clients have joined all their topics. `topics_of` gets the number of the client, which
  // counts on from those that are there.
  Result<void> add(std::size_t count, const std::function<Topics(std::size_t)>& topics_of);

  std::size_t size() const { return members_.size(); }
  Client& operator[](std::size_t index) { return *members_[index].client; }
  void tell(ClientEvents& events);  // from now on; until then what comes besides the replies to joins is ignored

  void on_open(Client& client) override;
  void on_frame(Client& client, const Frame& frame) override;

 private:
  static constexpr std::size_t kOpeningMax = 200;

  struct Member {
    std::unique_ptr<Client> client;
    std::size_t joins_missing = 0;
  };

  void connect_more();

  ClientLoop& loop_;
  const std::uint16_t port_;
  const std::string handshake_;
  const Wire wire_;
  std::function<Topics(std::size_t)> topics_of_;
  std::vector<Member> members_;
  std::size_t wanted_ = 0;
  std::size_t joined_ = 0;
};

}  // namespace rt::load
