#include "load/joiners.h"

#include <string_view>
#include <utility>

namespace rt::load {

Result<void> Joiners::connect(std::vector<std::string> tokens) {
  tokens_ = std::move(tokens);
  joined_.resize(tokens_.size());
  clients_.reserve(tokens_.size());
  const auto connect_more = [&] {
    while (clients_.size() < tokens_.size() && clients_.size() - open_ < kOpeningMax) {
      auto client = Client::connect(loop_, port_, handshake_, clients_.size(), *this);
      if (!client) return loop_.fail_with(client.error().message);
      clients_.push_back(std::move(*client));
    }
  };
  return loop_.run_until(
      [&] {
        connect_more();
        return open_ == tokens_.size();
      },
      "all clients to be connected");
}

Result<void> Joiners::join(std::size_t each) {
  wanted_ += each;
  done_ = 0;
  for (std::size_t client = 0; client < clients_.size(); ++client)
    clients_[client]->send_text(join_message(client, joined_[client]));
  return loop_.run_until([&] { return done_ == clients_.size(); }, "all joins to be answered");
}

// As the public client library says it.
std::string Joiners::join_message(std::size_t client, std::size_t join) const {
  const std::string ref = "\"" + std::to_string(join + 1) + "\"";
  return "[" + ref + "," + ref + ",\"" + topic_of_(client, join) +
         R"(","phx_join",{"config":{"broadcast":{"ack":false,"self":false},"presence":{"key":"","enabled":false},)" +
         R"("postgres_changes":[],"private":)" + (channels_ == Channels::kPrivate ? "true" : "false") +
         R"(},"access_token":")" + tokens_[client] + "\"}]";
}

void Joiners::on_frame(Client& client, const Frame& frame) {
  const bool is_ok = frame.payload.find("\"phx_reply\"") != std::string_view::npos &&
                     frame.payload.find(R"("status":"ok")") != std::string_view::npos;
  if (!is_ok) return loop_.fail_with("not the answer to a join that is granted: " + std::string(frame.payload));
  const std::size_t id = client.id();
  if (++joined_[id] < wanted_) return client.send_text(join_message(id, joined_[id]));
  ++done_;
}

}  // namespace rt::load
