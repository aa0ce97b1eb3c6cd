// The attacks, one after the other: those who do not read, slow handshakes, malformed frames, deflate bombs,
// reconnects, joins and leaves.
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "load/attack.h"
#include "load/client_frame.h"
#include "load/payload.h"
#include "load/swarm.h"
#include "protocol/websocket/deflate.h"

namespace rt::load {
namespace {

std::string message_frame(std::string_view ref, std::string_view topic, std::string_view event,
                          std::string_view payload) {
  std::string text = "[\"";
  text.append(ref).append("\",\"").append(ref).append("\",\"").append(topic).append("\",\"").append(event);
  text.append("\",").append(payload).append("]");
  std::string frame;
  append_client_frame(frame, ws::Opcode::kText, text);
  return frame;
}

std::string join_frame(std::string_view ref, std::string_view topic) {
  return message_frame(ref, topic, "phx_join", R"({"config":{"broadcast":{"self":false}}})");
}

bool is_join_reply(const Frame& frame) {
  return frame.payload.find("\"phx_reply\"") != std::string_view::npos &&
         frame.payload.find(R"("status":"ok")") != std::string_view::npos;
}

// Subscribers that never read what an accomplice sends them.
class Deaf final : public Swarm {
 public:
  static constexpr std::size_t kCount = 5'000;
  static constexpr std::uint64_t kTicksPerMessage = 20;

  Deaf(ClientLoop& loop, const Target& target)
      : Swarm(loop, target.port, target.handshake, kCount + 1),
        message_(message_frame("1", kTopic, "broadcast", state_payload(16 * 1024, State::kShapes))) {}

  void on_open(Client& client) override { client.send_bytes(join_frame("1", kTopic)); }
  void on_frame(Client& client, const Frame& frame) override {
    if (!is_join_reply(frame)) return;
    count_ready();
    if (client.id() != kAccomplice) client.stop_reading();
  }

 private:
  static constexpr std::string_view kTopic = "realtime:deaf";
  static constexpr std::size_t kAccomplice = kCount;

  void act(Client& client, std::uint64_t tick) override {
    if (client.id() != kAccomplice || !is_in_position() || tick % kTicksPerMessage != 0) return;
    client.send_bytes(message_);
    deeds_ += kCount;
  }

  const std::string message_;
};

// One byte of a request now and then, and never the last one.
class SlowHandshakes final : public Swarm {
 public:
  static constexpr std::size_t kCount = 2'000;
  static constexpr std::uint64_t kTicksPerByte = 10;

  SlowHandshakes(ClientLoop& loop, const Target& target) : Swarm(loop, target.port, {}, kCount), sent_(kCount) {}

 private:
  void act(Client& client, std::uint64_t tick) override {
    static constexpr std::string_view kBegin = "GET /socket/websocket HTTP/1.1\r\n";
    static constexpr std::string_view kThenForEver = "X-Patience: 1\r\n";
    if ((client.id() + tick) % kTicksPerByte != 0) return;
    const std::size_t at = sent_[client.id()]++;
    const char byte = at < kBegin.size() ? kBegin[at] : kThenForEver[(at - kBegin.size()) % kThenForEver.size()];
    client.send_bytes({&byte, 1});
    ++deeds_;
  }
  void on_lost(std::size_t id) override { sent_[id] = 0; }

  std::vector<std::size_t> sent_;
};

// Half of them send what is no Phoenix message, as much as the server takes; the others what is no WebSocket frame.
class MalformedFrames final : public Swarm {
 public:
  static constexpr std::size_t kCount = 50;

  MalformedFrames(ClientLoop& loop, const Target& target) : Swarm(loop, target.port, target.handshake, kCount) {
    static constexpr std::array kNoMessages = {"", "{}", "[", "[1,2]", R"(["1","1",{},"phx_join",{}])", "\xff\xfe"};
    for (std::size_t i = 0; messages_.size() < kBytesPerTick; ++i)
      append_client_frame(messages_, ws::Opcode::kText, kNoMessages[i % kNoMessages.size()]);
  }

 private:
  static constexpr std::size_t kBytesPerTick = 64 * 1024;

  void act(Client& client, std::uint64_t tick) override {
    using namespace std::string_view_literals;
    static constexpr std::array kNoFrames = {
        "\x81\x02hi"sv,                        // not masked
        "\xf1\x80\x00\x00\x00\x00"sv,          // reserved bits
        "\x83\x80\x00\x00\x00\x00"sv,          // a reserved opcode
        "\x09\x80\x00\x00\x00\x00"sv,          // a ping in pieces
        "\x81\xff\xff\xff\xff\xff\xff\xff"sv,  // a huge length
        "\x80\x80\x00\x00\x00\x00"sv,          // a continuation of nothing
    };
    if (!client.has_sent_all()) return;
    const bool sends_messages = client.id() % 2 == 0;
    client.send_bytes(sends_messages ? messages_ : kNoFrames[(client.id() + tick) % kNoFrames.size()]);
    deeds_ += sends_messages ? messages_.size() : 1;
  }

  std::string messages_;
};

// Small messages that inflate to far more than the server can want.
class DeflateBombs final : public Swarm {
 public:
  static constexpr std::size_t kCount = 20;

  DeflateBombs(ClientLoop& loop, const Target& target)
      : Swarm(loop, target.port, target.deflate_handshake, kCount), bomb_(bomb()) {}

  void on_open(Client& client) override {
    RT_CHECK(client.has_deflate());
    Swarm::on_open(client);
  }

 private:
  static std::string bomb() {
    constexpr std::size_t kInflatedBytes = 4'000'000;
    ws::Deflater deflater({.level = 9});
    const std::string plain = ws::make_frame(ws::Opcode::kText, {std::string(kInflatedBytes, '0')});
    const auto frame = deflater.compress(plain);
    RT_CHECK(frame.has_value());
    std::string out;
    append_client_frame(out, ws::Opcode::kText,
                        std::string_view(*frame).substr(parse_server_header(*frame)->header_bytes));
    out[0] = static_cast<char>(out[0] | 0x40);  // compressed
    return out;
  }

  void act(Client& client, std::uint64_t) override {
    if (!client.has_sent_all()) return;
    client.send_bytes(bomb_);
    ++deeds_;
  }

  const std::string bomb_;
};

// They come, join and go.
class Reconnects final : public Attack {
 public:
  Reconnects(ClientLoop& loop, const Target& target) : loop_(loop), target_(target), clients_(kAtOnce) {}

  void tick() override {
    std::size_t wanted = kPerTick;
    for (std::size_t id = 0; id < kAtOnce && wanted > 0; ++id) {
      if (clients_[id] && !clients_[id]->is_closed()) continue;
      auto client = Client::connect(loop_, target_.port, target_.handshake, id, *this);
      if (!client) return loop_.fail_with(client.error().message);
      clients_[id] = std::move(*client);
      --wanted;
    }
  }

  void on_open(Client& client) override { client.send_bytes(join_frame("1", "realtime:visit")); }
  void on_frame(Client& client, const Frame& frame) override {
    if (!is_join_reply(frame)) return;
    ++deeds_;
    client.close();
  }

 private:
  static constexpr std::size_t kPerTick = 10;    // 1,000 each second
  static constexpr std::size_t kAtOnce = 2'000;  // a server that falls behind by two seconds is left in peace

  ClientLoop& loop_;
  const Target& target_;
  std::vector<std::unique_ptr<Client>> clients_;
};

// One client joins thousands of topics, leaves them all, and begins again.
class TopicChurn final : public Swarm {
 public:
  static constexpr std::size_t kTopics = 10'000;

  TopicChurn(ClientLoop& loop, const Target& target) : Swarm(loop, target.port, target.handshake, 1) {
    for (std::size_t i = 0; i < kTopics; ++i) {
      const std::string ref = std::to_string(i);
      joins_ += join_frame(ref, "realtime:churn-" + ref);
      leaves_ += message_frame(ref, "realtime:churn-" + ref, "phx_leave", "{}");
    }
  }

  void on_frame(Client&, const Frame& frame) override {
    if (!is_join_reply(frame)) return;  // a leave is answered the same way
    ++deeds_;
    --replies_missing_;
  }

 private:
  void act(Client& client, std::uint64_t) override {
    if (replies_missing_ != 0) return;
    replies_missing_ = kTopics;
    client.send_bytes(std::exchange(is_joined_, !is_joined_) ? leaves_ : joins_);
  }

  std::string joins_;
  std::string leaves_;
  std::size_t replies_missing_ = 0;
  bool is_joined_ = false;
};

// One sends, the others receive, and join again where the server has closed their channel.
class Flood final : public Swarm {
 public:
  static constexpr std::size_t kReceivers = 10;
  static constexpr std::size_t kMessagesPerTick = 100;

  Flood(ClientLoop& loop, const Target& target) : Swarm(loop, target.port, target.handshake, kReceivers + 1) {
    const std::string message =
        message_frame("1", kTopic, "broadcast", R"({"type":"broadcast","event":"x","payload":{}})");
    for (std::size_t i = 0; i < kMessagesPerTick; ++i) messages_ += message;
  }

  void on_open(Client& client) override { client.send_bytes(join_frame("1", kTopic)); }
  void on_frame(Client& client, const Frame& frame) override {
    if (is_join_reply(frame) && !has_joined_[client.id()]) {
      has_joined_[client.id()] = true;
      count_ready();
    }
    if (frame.payload.find("\"phx_close\"") != std::string_view::npos) client.send_bytes(join_frame("1", kTopic));
  }

 private:
  static constexpr std::string_view kTopic = "realtime:flood";
  static constexpr std::size_t kSender = kReceivers;

  void act(Client& client, std::uint64_t) override {
    if (client.id() != kSender || !is_in_position() || !client.has_sent_all()) return;
    client.send_bytes(messages_);
    deeds_ += kMessagesPerTick;
  }

  std::array<bool, kReceivers + 1> has_joined_{};
  std::string messages_;
};

template <class T>
std::unique_ptr<Attack> make(ClientLoop& loop, const Target& target) {
  return std::make_unique<T>(loop, target);
}

constexpr AttackKind kKinds[] = {
    {"5,000 sockets that never read", "messages of 16 KiB to them", make<Deaf>},
    {"2,000 slow handshakes", "bytes", make<SlowHandshakes>},
    {"malformed frames", "bytes", make<MalformedFrames>},
    {"deflate bombs", "bombs", make<DeflateBombs>},
    {"1,000 reconnects each second", "connections that joined", make<Reconnects>},
    {"10,000 topics joined and left", "joins and leaves", make<TopicChurn>},
};

}  // namespace

std::span<const AttackKind> attack_kinds() { return kKinds; }

const AttackKind& flood() {
  static constexpr AttackKind kFlood{"a tenant that floods", "broadcasts sent", make<Flood>};
  return kFlood;
}

}  // namespace rt::load
