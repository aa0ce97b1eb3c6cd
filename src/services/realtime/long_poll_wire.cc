#include "services/realtime/long_poll_wire.h"

#include <algorithm>
#include <charconv>

#include "base/base64.h"
#include "protocol/http/cors.h"
#include "protocol/json/value.h"
#include "protocol/websocket/reader.h"

namespace rt::realtime {
namespace {

constexpr std::size_t kWorkerDigits = 2;
constexpr std::size_t kSecretBytes = 16;
constexpr std::size_t kFrameBytesMax = ws::ReaderLimits{}.message_bytes_max;

bool is_json(std::string_view line) {
  const std::string_view text = http::trimmed(line);
  return !text.empty() && (text.front() == '[' || text.front() == '{');
}

bool is_of_lines(const http::Request& request) {
  const std::string_view type = request.header("content-type").value_or("");
  return http::ascii_lower(http::trimmed(type.substr(0, type.find(';')))) == "application/x-ndjson";
}

http::Response answer(int http_status, std::string body) {
  http::Response response = http::Response::json(http_status, std::move(body));
  http::allow_any_origin(response);
  return response;
}

http::Response with_token(int status, std::string_view token, std::string_view messages) {
  std::string body = "{\"status\":" + std::to_string(status) + ",\"token\":\"";
  body.append(token).append("\",\"messages\":").append(messages).append("}");
  return answer(200, std::move(body));
}

}  // namespace

std::string LongPollToken::make(int worker, Random& random) {
  constexpr char kHex[] = "0123456789abcdef";
  return std::string{kHex[worker >> 4], kHex[worker & 15]} + random.hex(kSecretBytes);
}

std::optional<std::size_t> LongPollToken::worker_of(std::string_view token) {
  if (token.size() != kWorkerDigits + 2 * kSecretBytes) return std::nullopt;
  std::size_t worker = 0;
  const std::string_view digits = token.substr(0, kWorkerDigits);
  const auto [behind, error] = std::from_chars(digits.begin(), digits.end(), worker, 16);
  return error == std::errc() && behind == digits.end() ? std::optional(worker) : std::nullopt;
}

std::string token_of(const http::Request& request) {
  std::string token;
  for (auto& [name, value] : http::parse_query(request.query())) {
    if (name == "token") token = std::move(value);
  }
  return token.empty() ? std::string(request.header("x-phoenix-longpoll-token").value_or("")) : token;
}

PostedFrames::PostedFrames(http::Request request) : body_(std::move(request.body)), is_lines_(is_of_lines(request)) {}

std::optional<std::string> PostedFrames::fault() const {
  std::size_t lines = 0;
  std::size_t at = 0;
  while (const auto line = next_line(at)) {
    if (++lines > kPostedFramesMax)
      return "one POST may have " + std::to_string(kPostedFramesMax) + " frames: send the others in further ones";
    const std::size_t bytes = is_lines_ && !is_json(*line) ? line->size() / 4 * 3 : line->size();
    if (bytes > kFrameBytesMax) return "a frame may have " + std::to_string(kFrameBytesMax) + " bytes";
  }
  return std::nullopt;
}

std::optional<PostedFrames::Frame> PostedFrames::next(std::string& decoded) {
  auto line = next_line(at_);
  while (is_lines_ && line && line->empty()) line = next_line(at_);
  if (!line) return std::nullopt;
  if (is_lines_ && !is_json(*line)) {
    if (auto bytes = base64_decode(*line)) {
      decoded = *std::move(bytes);
      return Frame{ws::Opcode::kBinary, decoded};
    }
  }
  return Frame{ws::Opcode::kText, *line};
}

std::optional<std::string_view> PostedFrames::next_line(std::size_t& at) const {
  const std::string_view body = body_;
  if (!is_lines_) return std::exchange(at, body.size() + 1) == 0 ? std::optional(body) : std::nullopt;
  if (at >= body.size()) return std::nullopt;
  const std::size_t end = std::min(body.find('\n', at), body.size());
  std::string_view line = body.substr(at, end - at);
  at = end + 1;
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

http::Response opened_answer(std::string_view token) { return with_token(410, token, "[]"); }
http::Response messages_answer(std::string_view token, std::string_view messages) {
  return with_token(200, token, messages);
}
http::Response no_messages_answer(std::string_view token) { return with_token(204, token, "[]"); }
http::Response posted_answer() { return answer(200, "{\"status\":200}"); }
http::Response gone_answer() { return answer(200, "{\"status\":410}"); }
http::Response refused_answer(int http_status, int status, std::string_view error) {
  return answer(http_status, "{\"status\":" + std::to_string(status) + ",\"error\":" + json::quoted(error) + "}");
}

}  // namespace rt::realtime
