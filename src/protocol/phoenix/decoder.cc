#include <array>
#include <charconv>

#include "base/utf8.h"
#include "protocol/json/value.h"
#include "protocol/phoenix/message.h"

namespace rt::phoenix {
namespace {

// Cuts fields of known lengths off a binary frame.
class Cutter {
 public:
  explicit Cutter(std::string_view frame) : rest_(frame) {}

  std::optional<std::string_view> take(std::size_t bytes) {
    if (rest_.size() < bytes) return std::nullopt;
    const std::string_view field = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return field;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::size_t length_at(std::string_view header, std::size_t at) { return static_cast<unsigned char>(header[at]); }

// The strings of a binary frame. They come back in JSON, so they must be text.
template <std::size_t N>
std::optional<std::array<std::string_view, N>> take_strings(Cutter& cutter, const std::array<std::size_t, N>& lengths) {
  std::array<std::string_view, N> strings;
  for (std::size_t i = 0; i < N; ++i) {
    const auto field = cutter.take(lengths[i]);
    if (!field || !is_valid_utf8(*field)) return std::nullopt;
    strings[i] = *field;
  }
  return strings;
}

// Binary clients spell "no ref" as an empty string.
std::string_view as_json_ref(std::string_view text, std::string& scratch) {
  if (text.empty()) return kNull;
  scratch.clear();
  json::append_quoted(scratch, text);
  return scratch;
}

constexpr char kKindPush = 0;
constexpr char kKindUserPush = 3;

}  // namespace

std::optional<Version> parse_version(std::string_view vsn) {
  std::array<int, 3> parts{};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t dot = vsn.find('.');
    const std::string_view part = vsn.substr(0, dot);
    if ((i < 2) != (dot != std::string_view::npos)) return std::nullopt;
    if (part.empty() || part.size() > 9 || part.find_first_not_of("0123456789") != std::string_view::npos)
      return std::nullopt;
    if (part.size() > 1 && part[0] == '0') return std::nullopt;
    std::from_chars(part.data(), part.data() + part.size(), parts[i]);
    vsn = i < 2 ? vsn.substr(dot + 1) : std::string_view();
  }
  if (parts[1] != 0) return std::nullopt;
  if (parts[0] == 1) return Version::kV1;
  if (parts[0] == 2) return Version::kV2;
  return std::nullopt;
}

std::optional<ClientMessage> Decoder::decode(Version version, ws::Opcode opcode, std::string_view frame) {
  if (frame.empty()) return std::nullopt;
  if (version == Version::kV1) return decode_object(frame);
  if (opcode == ws::Opcode::kText) return decode_array(frame);
  if (frame[0] == kKindPush) return decode_push(frame);
  if (frame[0] == kKindUserPush) return decode_user_push(frame);
  return std::nullopt;
}

std::optional<std::string_view> Decoder::string_of(std::string_view json_text, std::string& scratch) {
  if (json_text[0] != '"') return std::nullopt;
  const std::string_view inner = json_text.substr(1, json_text.size() - 2);
  if (inner.find('\\') == std::string_view::npos) return inner;
  scratch = json::unescape(json_text);
  return scratch;
}

std::optional<ClientMessage> Decoder::decode_object(std::string_view text) {
  std::optional<json::Document> topic, event, payload, ref, join_ref;
  std::size_t at = json::skip_white_space(text, 0);
  if (at == text.size() || text[at] != '{') return std::nullopt;
  at = json::skip_white_space(text, at + 1);
  std::string unescaped;
  // Each member is walked once, where it stands; the object around them is checked here.
  while (at < text.size() && text[at] == '"') {
    const auto key = json::walk_value(text.substr(at));
    if (!key) return std::nullopt;
    std::string_view name = text.substr(at + 1, key->length - 2);
    if (name.find('\\') != std::string_view::npos) name = unescaped = json::unescape(text.substr(at, key->length));
    at = json::skip_white_space(text, at + key->length);
    if (at == text.size() || text[at] != ':') return std::nullopt;
    at = json::skip_white_space(text, at + 1);
    const auto walked = json::walk_value(text.substr(at));
    if (!walked) return std::nullopt;
    const json::Document value{text.substr(at, walked->length), walked->type, walked->term_size};
    if (name == "topic") topic = value;
    if (name == "event") event = value;
    if (name == "payload") payload = value;
    if (name == "ref") ref = value;
    if (name == "join_ref") join_ref = value;
    at = json::skip_white_space(text, at + walked->length);
    if (at == text.size() || text[at] != ',') break;
    at = json::skip_white_space(text, at + 1);
    if (at == text.size() || text[at] != '"') return std::nullopt;
  }
  if (at == text.size() || text[at] != '}' || json::skip_white_space(text, at + 1) != text.size()) return std::nullopt;
  if (!topic || !event || !payload || !ref) return std::nullopt;
  return ClientMessage{join_ref ? join_ref->text : kNull, ref->text, string_of(topic->text, topic_),
                       string_of(event->text, event_),    *payload,  topic->text};
}

std::optional<ClientMessage> Decoder::decode_array(std::string_view text) {
  std::size_t at = json::skip_white_space(text, 0);
  if (at == text.size() || text[at] != '[') return std::nullopt;
  ++at;
  std::array<json::Document, 5> elements;
  // Each element is walked once, where it stands; the array around them is checked here.
  for (std::size_t i = 0;; ++i) {
    at = json::skip_white_space(text, at);
    const auto walked = json::walk_value(text.substr(at));
    if (!walked) return std::nullopt;
    if (i < elements.size()) elements[i] = {text.substr(at, walked->length), walked->type, walked->term_size};
    at = json::skip_white_space(text, at + walked->length);
    if (at == text.size()) return std::nullopt;
    if (text[at] == ']') {
      if (i + 1 < elements.size() || json::skip_white_space(text, at + 1) != text.size()) return std::nullopt;
      break;
    }
    if (text[at] != ',') return std::nullopt;
    ++at;
  }
  return ClientMessage{
      elements[0].text, elements[1].text, string_of(elements[2].text, topic_), string_of(elements[3].text, event_),
      elements[4],      elements[2].text};
}

std::optional<ClientMessage> Decoder::decode_push(std::string_view frame) {
  Cutter cutter(frame);
  const auto header = cutter.take(5);
  if (!header) return std::nullopt;
  const auto strings = take_strings<4>(
      cutter, {length_at(*header, 1), length_at(*header, 2), length_at(*header, 3), length_at(*header, 4)});
  if (!strings) return std::nullopt;
  const auto& [join_ref, ref, topic, event] = *strings;
  return ClientMessage{as_json_ref(join_ref, join_ref_), as_json_ref(ref, ref_), topic, event,
                       RawPayload{cutter.rest()}};
}

std::optional<ClientMessage> Decoder::decode_user_push(std::string_view frame) {
  Cutter cutter(frame);
  const auto header = cutter.take(7);
  if (!header) return std::nullopt;
  const auto strings = take_strings<5>(cutter, {length_at(*header, 1), length_at(*header, 2), length_at(*header, 3),
                                                length_at(*header, 4), length_at(*header, 5)});
  if (!strings) return std::nullopt;
  const auto& [join_ref, ref, topic, user_event, metadata] = *strings;
  if (!metadata.empty() && !json::walk_document(metadata)) return std::nullopt;
  const bool is_json = (*header)[6] != 0;
  return ClientMessage{as_json_ref(join_ref, join_ref_), as_json_ref(ref, ref_), topic, "broadcast",
                       UserPayload{user_event, is_json, cutter.rest()}};
}

}  // namespace rt::phoenix
