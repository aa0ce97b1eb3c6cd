// Clients of different users that join one topic after the other, each as soon as its last join is answered. They stay
// in all of them.
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

class Joiners final : public ClientEvents {
 public:
  enum class Channels : std::uint8_t { kPublic, kPrivate };
  using TopicOf = std::function<std::string(std::size_t client, std::size_t join)>;  // both from 0

  Joiners(ClientLoop& loop, std::uint16_t port, std::string handshake, Channels channels, TopicOf topic_of)
      : loop_(loop),
        port_(port),
        handshake_(std::move(handshake)),
        channels_(channels),
        topic_of_(std::move(topic_of)) {}

  // Returns when there is a client for each token, which goes into its joins. Once.
  Result<void> connect(std::vector<std::string> tokens);

  // Returns when all have joined so many more topics. A refusal is an error.
  Result<void> join(std::size_t each);

  std::size_t size() const { return clients_.size(); }

  void on_open(Client&) override { ++open_; }
  void on_frame(Client& client, const Frame& frame) override;

 private:
  static constexpr std::size_t kOpeningMax = 200;

  std::string join_message(std::size_t client, std::size_t join) const;

  ClientLoop& loop_;
  const std::uint16_t port_;
  const std::string handshake_;
  const Channels channels_;
  const TopicOf topic_of_;
  std::vector<std::string> tokens_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::size_t> joined_;  // of each client
  std::size_t wanted_ = 0;           // of each client
  std::size_t open_ = 0;
  std::size_t done_ = 0;  // clients that have joined as many
};

}  // namespace rt::load
