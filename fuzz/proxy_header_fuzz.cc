// A PROXY header is complete at one byte only, within its bound, and what follows it does not matter.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "protocol/proxy/header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace rt;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = proxy::parse_header(bytes);
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    const auto part = proxy::parse_header(bytes.substr(0, length));
    if (!part) {
      RT_CHECK(!part.error().message.empty());
      RT_CHECK(!whole);  // and stays refused, whatever comes
      return 0;
    }
    if (!*part) {
      RT_CHECK(length < proxy::kHeaderBytesMax);
      continue;
    }
    RT_CHECK((*part)->bytes == length);
    RT_CHECK(length <= proxy::kHeaderBytesMax);
    RT_CHECK(whole && *whole && (*whole)->bytes == length && (*whole)->source == (*part)->source);
    if ((*part)->source) RT_CHECK(IpAddress::parse((*part)->source->text()) == (*part)->source);
    return 0;
  }
  RT_CHECK(whole && !*whole);
  return 0;
}
