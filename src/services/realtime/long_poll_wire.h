// What a long-poll client and the server say to each other in HTTP (protocol.md 1.10).
//
// The client asks by GET for what there is, and sends by POST what it has to say. What an answer means stands in the
// `status` of its JSON body, whatever the status of the HTTP response: that is what clients look at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "protocol/http/request.h"
#include "protocol/websocket/frame.h"

namespace rt::realtime {

// The name of a session, and the proof that it is the client's own: 128 random bits behind the number of the worker
// that has it. Never to be logged.
struct LongPollToken {
  static std::string make(int worker, Random& random);
  // The worker that a token names; nullopt: it is none of ours.
  static std::optional<std::size_t> worker_of(std::string_view token);
};

// The token that a request carries, in its query or in a header; empty: none.
std::string token_of(const http::Request& request);

// Also of empty lines: looking for what is between them takes time. phoenix.js sends 100.
inline constexpr std::size_t kPostedFramesMax = 1000;

// The frames in the body of a POST: one, or with `application/x-ndjson` one in each line that is not empty. There a
// line that is no JSON array or object is a binary frame in base64, as phoenix.js sends an ArrayBuffer.
class PostedFrames {
 public:
  explicit PostedFrames(http::Request request);

  // Nothing is wrong with their number and sizes; else a text that says what is. Looks at all of them.
  std::optional<std::string> fault() const;

  struct Frame {
    ws::Opcode opcode = ws::Opcode::kText;
    std::string_view bytes;  // valid as long as `decoded` stays as it is, and no longer than this lives
  };
  // nullopt: that was all of them. `decoded` takes what does not stand in the body as it is.
  std::optional<Frame> next(std::string& decoded);

  std::size_t bytes() const { return body_.capacity(); }  // of memory

 private:
  std::optional<std::string_view> next_line(std::size_t& at) const;

  std::string body_;
  bool is_lines_ = false;
  std::size_t at_ = 0;
};

// Answers. `messages` is a JSON array of strings.
http::Response opened_answer(std::string_view token);
http::Response messages_answer(std::string_view token, std::string_view messages);
http::Response no_messages_answer(std::string_view token);
http::Response posted_answer();
http::Response gone_answer();
// `status` in the body as clients know it; `http_status` for whoever looks at that.
http::Response refused_answer(int http_status, int status, std::string_view error);

}  // namespace rt::realtime
