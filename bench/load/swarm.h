// So many clients that do harm, each replaced as soon as the server has got rid of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "load/attack.h"

namespace rt::load {

class Swarm : public Attack {
 public:
  Swarm(ClientLoop& loop, std::uint16_t port, std::string_view handshake, std::size_t size)
      : loop_(loop), port_(port), handshake_(handshake), members_(size) {}

  void tick() final;
  bool is_in_position() const final { return ready_ >= members_.size(); }

  void on_open(Client& client) override;
  void on_frame(Client&, const Frame&) override {}
  void on_closed(Client& client, std::string_view why) final;

 protected:
  static constexpr std::size_t kConnectsPerTick = 100;

  // Once a tick, for each client that is open.
  virtual void act(Client& client, std::uint64_t tick) = 0;
  // The server ended it.
  virtual void on_lost(std::size_t) {}
  // Once for each client: it has become what the attack needs.
  void count_ready() { ++ready_; }

 private:
  void replace_lost();

  ClientLoop& loop_;
  const std::uint16_t port_;
  const std::string_view handshake_;
  std::vector<std::unique_ptr<Client>> members_;
  std::size_t ready_ = 0;
  std::uint64_t ticks_ = 0;
};

}  // namespace rt::load
