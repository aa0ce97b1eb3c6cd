// A WebSocket client that never blocks. It understands frames but not what is in them.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "load/client_loop.h"
#include "load/client_tls.h"
#include "protocol/websocket/frame.h"

namespace rt::load {

// A whole frame of the server, or a text that came in fragments and was put together; the views are good during the
// call only.
struct Frame {
  ws::Opcode opcode;
  bool compressed;
  std::string_view payload;
  std::string_view wire;                           // with the header; of fragments without
  std::chrono::steady_clock::time_point received;  // right after the recv() that brought its end
  // When the kernel had its end, whenever this process came to read it: `received` counts what else goes on on our
  // core. Only of clients that stamp arrivals.
  std::chrono::system_clock::time_point arrived;
};

// Whom a client tells. None of these may destroy a client; they may close one.
class ClientEvents {
 public:
  virtual ~ClientEvents() = default;
  virtual void on_open(Client&) {}  // the handshake is through
  virtual void on_frame(Client& client, const Frame& frame) = 0;
  // Not by us. Unless somebody expects it, it is a failure of the whole loop.
  virtual void on_closed(Client& client, std::string_view why);
};

class Client {
 public:
  // `id` is for the owner to know it by. Without a handshake the client is open as soon as it is connected, for peers
  // that send frames right away. The handshake must outlive the opening; loop and events the client.
  static Result<std::unique_ptr<Client>> connect(ClientLoop& loop, std::uint16_t port, std::string_view handshake,
                                                 std::size_t id, ClientEvents& events, Wire wire = Wire::kPlain);

  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::size_t id() const { return id_; }
  int fd() const { return fd_; }
  ClientLoop& loop() { return loop_; }
  bool is_open() const { return state_ == State::kOpen; }
  bool is_closed() const { return state_ == State::kClosed; }
  bool has_sent_all() const { return unsent_.empty(); }  // to the kernel
  bool has_deflate() const { return has_deflate_; }      // the server's answer accepted permessage-deflate

  void tell(ClientEvents& events) { events_ = &events; }

  void send_text(std::string_view message);
  // Once the client is open. Bytes as they are: several frames in one write, or what is not a frame at all.
  void send_bytes(std::string_view bytes);
  void stop_reading();  // for ever; that the connection has ended is still seen where it is reset
  Result<void> stamp_arrivals();
  void close();  // abortive, so that no port of ours stays behind in TIME_WAIT

 private:
  friend class ClientLoop;

  enum class State : std::uint8_t { kConnecting, kShakingHands, kOpen, kClosed };

  Client(ClientLoop& loop, int fd, std::string_view handshake, std::size_t id, ClientEvents& events, Wire wire);

  void on_writable();
  void on_readable(std::span<char> buffer);
  void on_connected();
  // Both take one whole thing from the front of `in`, or nothing; false: there is none.
  bool take_answer(std::string_view& in);
  struct ReceivedAt {
    std::chrono::steady_clock::time_point received;
    std::chrono::system_clock::time_point arrived;
  };
  ssize_t receive(std::span<char> buffer, ReceivedAt& at);
  bool take_frame(std::string_view& in, const ReceivedAt& at);
  void flush();
  void lose(std::string_view why);

  ClientLoop& loop_;
  ClientEvents* events_;
  std::string_view handshake_;
  std::size_t id_;
  std::string held_;       // an incomplete frame or answer
  std::string unsent_;     // what the kernel did not take
  std::string fragments_;  // of a text that is not complete
  int fd_;
  const Wire wire_;
  std::unique_ptr<ClientTls> tls_;
  State state_ = State::kConnecting;
  bool has_deflate_ = false;
  bool stamps_arrivals_ = false;
};

}  // namespace rt::load
