#include "protocol/http/gzip.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "base/check.h"

namespace rt::http {
namespace {

constexpr int kLevel = 1;  // text of this kind shrinks to a tenth anyway
constexpr int kGzipWindowBits = 15 + 16;

// Whether `;q=` takes the coding away.
bool has_weight(std::string_view parameters) {
  const std::size_t q = parameters.find("q=");
  if (q == std::string_view::npos) return true;
  const std::string_view text = trimmed(parameters.substr(q + 2));
  double weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  return error == std::errc() && weight > 0;
}

}  // namespace

bool accepts_gzip(const Request& request) {
  const std::string list = ascii_lower(request.header("accept-encoding").value_or(""));
  bool any = false;
  std::string_view rest = list;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    const std::size_t semicolon = std::min(item.find(';'), item.size());
    const std::string_view coding = trimmed(item.substr(0, semicolon));
    // What names it goes over what names all.
    if (coding == "gzip" || coding == "x-gzip") return has_weight(item.substr(semicolon));
    if (coding == "*") any = has_weight(item.substr(semicolon));
  }
  return any;
}

std::string gzip(std::string_view text) {
  struct Free {
    void operator()(libdeflate_compressor* compressor) const { libdeflate_free_compressor(compressor); }
  };
  const std::unique_ptr<libdeflate_compressor, Free> compressor(libdeflate_alloc_compressor(kLevel));
  RT_CHECK(compressor != nullptr);
  std::string out(libdeflate_gzip_compress_bound(compressor.get(), text.size()), '\0');
  out.resize(libdeflate_gzip_compress(compressor.get(), text.data(), text.size(), out.data(), out.size()));
  RT_CHECK(!out.empty());
  return out;
}

void gzip(Response& response) {
  response.headers.push_back({"vary", "accept-encoding"});
  if (response.body.size() < kGzipBytesMin) return;
  std::string out = gzip(response.body);
  if (out.size() >= response.body.size()) return;
  response.body = std::move(out);
  response.headers.push_back({"content-encoding", "gzip"});
}

std::string gunzip(std::string_view packed) {
  constexpr std::size_t kTrailerBytes = 8;  // its last four: the size (RFC 1952 2.3.1)
  RT_CHECK(packed.size() > kTrailerBytes);
  std::size_t size = 0;
  for (std::size_t i = 1; i <= 4; ++i) size = size << 8 | static_cast<unsigned char>(packed[packed.size() - i]);
  std::string out(size, '\0');
  z_stream stream{};
  RT_CHECK(inflateInit2(&stream, kGzipWindowBits) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int done = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  RT_CHECK(done == Z_STREAM_END && stream.avail_out == 0);
  return out;
}

}  // namespace rt::http
