#include "model/presence.h"

#include <doctest/doctest.h>

namespace rt {
namespace {

TEST_CASE("a topic is found again in its name, whatever its parts look like") {
  for (const auto privacy : {Privacy::kPublic, Privacy::kPrivate})
    for (const std::string_view tenant : {"", "acme", "12:x", "+1:"})
      for (const std::string_view topic : {"", "realtime:room", ":", "9:"}) {
        const TopicKey key{tenant, privacy, topic};
        const std::string name = presence_topic(key);
        CHECK(parse_presence_topic(name) == key);
      }
  CHECK(presence_topic({"a", Privacy::kPublic, "bc"}) != presence_topic({"ab", Privacy::kPublic, "c"}));
}

TEST_CASE("a text that names no topic is told from one that does") {
  for (const std::string_view name : {"", "+", "x1:ab", "+:a", "+2:a", "+1a", "+-1:a", "+99999999999999999999:a"})
    CHECK(!parse_presence_topic(name));
}

TEST_CASE("a phx_ref has 16 characters, and is another one for another dot") {
  const PresenceRef ref{0x0123456789ab, 1};
  CHECK(ref.text() == "ASNFZ4mrAAAAAAAB");
  CHECK(PresenceRef{0x0123456789ab, 2}.text() != ref.text());
  CHECK(PresenceRef{0x0123456789ac, 1}.text() != ref.text());
  CHECK(!PresenceRef{});
}

}  // namespace
}  // namespace rt
