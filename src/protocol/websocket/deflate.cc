#include "protocol/websocket/deflate.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/check.h"

namespace rt::ws {
namespace {

constexpr std::string_view kTail("\x00\x00\xff\xff", 4);  // of a flushed stream; never on the wire (RFC 7692 7.2.1)
constexpr int kRawWindowBits = -15;                       // zlib's way to say: no header, no checksum
constexpr int kMemoryLevel = 8;
constexpr std::size_t kKeptBytes = Inflater::kHarmlessBytes + 1;  // room to see that a bomb is one
constexpr std::size_t kStepBytes = 32 * 1024;                     // inflated before another look at the ratio

Bytef* bytes_of(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }

// The next element up to `separator`, which is taken too. Separators within quotes do not count.
std::string_view take_element(std::string_view& text, char separator) {
  bool quoted = false;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (quoted && text[at] == '\\') ++at;
    if (!quoted && at < text.size() && text[at] == separator) break;
  }
  at = std::min(at, text.size());
  const std::string_view element = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return http::trimmed(element);
}

struct Parameter {
  std::string name;  // lower case
  std::optional<std::string> value;
};

Parameter parse_parameter(std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {http::ascii_lower(text), std::nullopt};
  std::string_view value = http::trimmed(text.substr(equals + 1));
  // Only digits have a meaning here, so an escape within quotes makes a value that is refused.
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
  return {http::ascii_lower(http::trimmed(text.substr(0, equals))), std::string(value)};
}

// 8 to 15, written without a leading zero (7.1.2).
std::optional<std::uint8_t> window_bits(std::string_view digits) {
  if (digits == "8" || digits == "9") return static_cast<std::uint8_t>(digits[0] - '0');
  if (digits.size() == 2 && digits[0] == '1' && digits[1] >= '0' && digits[1] <= '5')
    return static_cast<std::uint8_t>(10 + digits[1] - '0');
  return std::nullopt;
}

// One offer; nullopt: another extension, or one that has to be declined (7.1).
std::optional<DeflateAgreement> accept(std::string_view offer) {
  if (http::ascii_lower(take_element(offer, ';')) != "permessage-deflate") return std::nullopt;
  DeflateAgreement agreement;
  std::vector<std::string> seen;
  while (!offer.empty()) {
    const Parameter parameter = parse_parameter(take_element(offer, ';'));
    if (std::find(seen.begin(), seen.end(), parameter.name) != seen.end()) return std::nullopt;
    seen.push_back(parameter.name);
    if (parameter.name == "server_no_context_takeover" || parameter.name == "client_no_context_takeover") {
      if (parameter.value) return std::nullopt;
    } else if (parameter.name == "client_max_window_bits") {
      // A hint; we can read every window.
      if (parameter.value && !window_bits(*parameter.value)) return std::nullopt;
    } else if (parameter.name == "server_max_window_bits") {
      const auto bits = window_bits(parameter.value.value_or(""));
      if (!bits) return std::nullopt;
      agreement = {.window_bits = *bits, .names_window = true};
    } else {
      return std::nullopt;
    }
  }
  return agreement;
}

}  // namespace

std::optional<DeflateAgreement> negotiate_deflate(const http::Request& request) {
  for (const http::Header& header : request.headers) {
    if (header.name != "sec-websocket-extensions") continue;
    std::string_view offers = header.value;
    while (!offers.empty()) {
      if (const auto agreement = accept(take_element(offers, ','))) return agreement;
    }
  }
  return std::nullopt;
}

std::string to_header(const DeflateAgreement& agreement) {
  std::string value = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  if (agreement.names_window) value += "; server_max_window_bits=" + std::to_string(agreement.window_bits);
  return value;
}

void ZStreamDeleter::operator()(z_stream_s* stream) const {
  end(stream);
  delete stream;
}

Deflater::Deflater(const DeflateSettings& settings) : settings_(settings), stream_(nullptr, {deflateEnd}) {
  RT_CHECK(settings.level >= 1 && settings.level <= 9);
}

std::optional<std::string> Deflater::compress(std::string_view frame) {
  const ServerFrame plain = parse_server_frame(frame);
  if ((plain.opcode != Opcode::kText && plain.opcode != Opcode::kBinary) || plain.payload.empty() ||
      plain.payload.size() < settings_.threshold_bytes) {
    return std::nullopt;
  }
  if (stream_) {
    RT_CHECK(deflateReset(stream_.get()) == Z_OK);
  } else {
    auto fresh = std::make_unique<z_stream>();
    RT_CHECK(deflateInit2(fresh.get(), settings_.level, Z_DEFLATED, kRawWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) ==
             Z_OK);
    stream_.reset(fresh.release());
  }
  // No room for more than the plain payload: what does not shrink is not wanted.
  std::string out(plain.payload.size(), '\0');
  RT_CHECK(out.size() <= std::numeric_limits<uInt>::max());
  stream_->next_in = bytes_of(plain.payload);
  stream_->avail_in = static_cast<uInt>(plain.payload.size());
  stream_->next_out = bytes_of(out);
  stream_->avail_out = static_cast<uInt>(out.size());
  RT_CHECK(deflate(stream_.get(), Z_SYNC_FLUSH) == Z_OK);
  if (stream_->avail_out == 0) return std::nullopt;
  out.resize(out.size() - stream_->avail_out);
  RT_CHECK(out.ends_with(kTail));
  return make_compressed_frame(plain.opcode, std::string_view(out).substr(0, out.size() - kTail.size()));
}

Inflater::Inflater() : stream_(nullptr, {inflateEnd}), measure_(libdeflate_alloc_decompressor()) {
  RT_CHECK(measure_ != nullptr);
}

void Inflater::Deleter::operator()(libdeflate_decompressor* decompressor) const {
  libdeflate_free_decompressor(decompressor);
}

Result<std::string_view, CloseCode> Inflater::inflate(std::string_view compressed, std::size_t bytes_max) {
  if (stream_) {
    RT_CHECK(inflateReset(stream_.get()) == Z_OK);
  } else {
    auto fresh = std::make_unique<z_stream>();
    RT_CHECK(inflateInit2(fresh.get(), kRawWindowBits) == Z_OK);
    stream_.reset(fresh.release());
  }
  if (out_.empty()) out_.resize(kKeptBytes);

  const std::size_t bound = std::min(bytes_max, std::max(kHarmlessBytes, kRatioMax * compressed.size()));
  std::size_t made = 0;
  int streams = 1;
  bool ended = false;  // right behind a stream that says of itself that it is the last
  bool is_measured = false;
  for (const std::string_view part : {compressed, kTail}) {
    if (ended) break;
    stream_->next_in = bytes_of(part);
    stream_->avail_in = static_cast<uInt>(part.size());
    // zlib may still hold output when its input is used up.
    bool out_was_full = false;
    while (stream_->avail_in > 0 || out_was_full) {
      // One byte more than the bound is enough to see that it is exceeded.
      if (made == out_.size()) out_.resize(std::min(out_.size() * 2, bound + 1));
      const uInt in_before = stream_->avail_in;
      const uInt room = static_cast<uInt>(std::min({out_.size() - made, bound + 1 - made, kStepBytes}));
      stream_->next_out = bytes_of(std::string_view(out_).substr(made));
      stream_->avail_out = room;
      const int result = ::inflate(stream_.get(), Z_NO_FLUSH);
      const std::size_t made_now = room - stream_->avail_out;
      made += made_now;
      if (made > bound) return tl::make_unexpected(CloseCode::kTooBig);
      if (!is_measured && made_now == kStepBytes && made_now > kRatioMax * (in_before - stream_->avail_in)) {
        is_measured = true;
        if (exceeds(compressed, bound)) return tl::make_unexpected(CloseCode::kTooBig);
      }
      out_was_full = stream_->avail_out == 0;
      ended = result == Z_STREAM_END;
      if (ended) {
        if (++streams > kStreamsMax) return tl::make_unexpected(CloseCode::kInvalidPayload);
        RT_CHECK(inflateReset(stream_.get()) == Z_OK);
        out_was_full = false;
      } else if (result == Z_BUF_ERROR) {
        break;  // there was nothing left to do
      } else if (result != Z_OK) {
        return tl::make_unexpected(CloseCode::kInvalidPayload);
      }
    }
  }
  constexpr int kBetweenBlocks = 128;  // zlib.h, inflate() on data_type: else the message was cut short
  if (!ended && (stream_->data_type & kBetweenBlocks) == 0) return tl::make_unexpected(CloseCode::kInvalidPayload);
  return std::string_view(out_).substr(0, made);
}

// Of a stream that ends early, or is no stream, nothing is said: inflating it will tell.
bool Inflater::exceeds(std::string_view compressed, std::size_t bound) {
  const auto room = std::make_unique_for_overwrite<char[]>(bound);
  std::size_t made = 0;
  return libdeflate_deflate_decompress(measure_.get(), compressed.data(), compressed.size(), room.get(), bound,
                                       &made) == LIBDEFLATE_INSUFFICIENT_SPACE;
}

void Inflater::let_go() {
  if (out_.size() > kKeptBytes) std::string().swap(out_);
}

}  // namespace rt::ws
