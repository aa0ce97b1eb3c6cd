// Clients that are told of row changes: each joins its channels, whose entries of postgres_changes it has been given,
// and counts what it is told.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/client.h"
#include "load/client_loop.h"
#include "load/server_process.h"

namespace rt::load {

// One element of postgres_changes.
std::string change_entry(std::string_view table, std::string_view filter = {});

struct ListeningChannel {
  std::string topic;
  std::vector<std::string> entries;
};

struct Listener {
  std::string token;  // goes into its joins
  std::vector<ListeningChannel> channels;
};

class ChangeListeners final : public ClientEvents {
 public:
  using Arrival = std::chrono::system_clock::time_point;

  ChangeListeners(ClientLoop& loop, const ServerProcess& server)
      : loop_(loop), port_(server.port()), handshake_(server.handshake()) {}

  // Returns when all channels of these, too, are subscribed.
  Result<void> add(std::vector<Listener> listeners);

  // Counts anew.
  void begin();
  // Returns when all of them together were told so many.
  Result<void> wait_for(std::size_t deliveries);
  // That each was told of as many.
  Result<void> check_each(std::size_t deliveries) const;

  std::size_t size() const { return members_.size(); }
  std::size_t received() const { return received_; }
  Arrival last_arrived() const { return last_arrived_; }
  const std::string& sample() const { return sample_; }  // a frame that told of a change

  void on_open(Client& client) override;
  void on_frame(Client& client, const Frame& frame) override;

 private:
  static constexpr std::size_t kOpeningMax = 200;

  struct Member {
    Listener what;
    std::unique_ptr<Client> client;
    std::size_t subscribed = 0;
    std::size_t received = 0;
  };

  void connect_more();
  void on_delivery(Member& member, const Frame& frame);

  ClientLoop& loop_;
  const std::uint16_t port_;
  const std::string handshake_;
  std::vector<Member> members_;
  std::size_t connected_ = 0;   // or about to be
  std::size_t subscribed_ = 0;  // with all their channels
  std::size_t received_ = 0;
  Arrival last_arrived_;
  std::string sample_;
};

}  // namespace rt::load
