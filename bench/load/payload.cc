#include "load/payload.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string_view>

#include "base/check.h"

namespace rt::load {
namespace {

using RepeatableRandom = std::mt19937_64;

unsigned below(RepeatableRandom& random, std::uint64_t limit) { return static_cast<unsigned>(random() % limit); }

std::string name(RepeatableRandom& random) {
  constexpr std::array<const char*, 12> kNames = {"Ada",   "Grace", "Edsger",  "Barbara", "Donald", "Leslie",
                                                  "Radia", "Tony",  "Frances", "Niklaus", "Kay",    "Whitfield"};
  return kNames[below(random, kNames.size())];
}

std::string cursor(RepeatableRandom& random) {
  constexpr std::array<const char*, 4> kTools = {"select", "brush", "eraser", "text"};
  constexpr std::array<const char*, 8> kColors = {"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728",
                                                  "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"};
  const auto boolean = [&] { return below(random, 2) == 0 ? "false" : "true"; };
  char text[256];
  const int bytes = std::snprintf(
      text, sizeof(text), R"({"user":"%s","x":%u,"y":%u,"tool":"%s","color":"%s","typing":%s,"online":%s})",
      name(random).c_str(), below(random, 1920), below(random, 1080), kTools[below(random, kTools.size())],
      kColors[below(random, kColors.size())], boolean(), boolean());
  return {text, static_cast<std::size_t>(bytes)};
}

std::string shape(RepeatableRandom& random) {
  char text[256];
  const int bytes = std::snprintf(
      text, sizeof(text), R"({"id":"%08x-%04x","name":"%s %u","x":%u.%02u,"y":%u.%02u,"color":"#%06x"})",
      below(random, 1ULL << 32), below(random, 1 << 16), name(random).c_str(), below(random, 100), below(random, 1920),
      below(random, 100), below(random, 1080), below(random, 100), below(random, 1 << 24));
  return {text, static_cast<std::size_t>(bytes)};
}

std::string hex_digits(RepeatableRandom& random, std::size_t count) {
  std::string out;
  while (out.size() < count) out += "0123456789abcdef"[below(random, 16)];
  return out;
}

// The object with a last member of random digits that brings it to the size.
std::string filled_up(const std::string& open_object, std::size_t bytes, RepeatableRandom& random) {
  constexpr std::string_view kBefore = R"("fill":")";
  constexpr std::string_view kAfter = R"("}})";
  const std::size_t fixed = open_object.size() + kBefore.size() + kAfter.size();
  RT_CHECK(fixed <= bytes);
  return open_object + std::string(kBefore) + hex_digits(random, bytes - fixed) + std::string(kAfter);
}

}  // namespace

std::string plain_payload(std::size_t bytes) {
  RepeatableRandom random;
  return filled_up(R"({"type":"broadcast","event":"tick","payload":{)", bytes, random);
}

std::string state_payload(std::size_t bytes_max, State state) {
  constexpr std::string_view kEnd = "]}}";
  const auto next = [&](RepeatableRandom& random) { return state == State::kCursors ? cursor(random) : shape(random); };
  RepeatableRandom random;
  std::string text = R"({"type":"broadcast","event":"state","payload":{"state":[)";
  for (std::string one = next(random); text.size() + one.size() + 1 + kEnd.size() <= bytes_max; one = next(random))
    text += (text.back() == '[' ? "" : ",") + one;
  return text.append(kEnd);
}

}  // namespace rt::load
