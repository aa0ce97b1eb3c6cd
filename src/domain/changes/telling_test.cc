#include "domain/changes/telling.h"

#include <doctest/doctest.h>

namespace rt::changes {
namespace {

Recipient element(std::uint64_t channel, std::uint32_t place, std::uint32_t entry_id) {
  return {.channel = {0, channel}, .topic = "realtime:room", .place = place, .entry_id = entry_id};
}

TEST_CASE("elements of one channel share one message with all ids, the last asked for first [PC-101]") {
  std::vector<Recipient> recipients{element(7, 0, 11), element(7, 2, 13), element(7, 1, 12)};
  std::vector<ChangeMessage> out;
  tell(Action::kInsert, recipients, {R"({"a":1})"}, out);
  REQUIRE(out.size() == 1);
  CHECK(out[0].event == "postgres_changes");
  CHECK(out[0].payload == R"({"ids":[13,12,11],"data":{"a":1}})");
  CHECK(out[0].subscriptions == 3);
  CHECK(out[0].to == std::vector<ChangesId>{{0, 7}});
}

TEST_CASE("different selections of one channel give two messages [PC-101]") {
  std::vector<Recipient> recipients{element(7, 0, 11), element(7, 1, 12)};
  recipients[1].selection = 1;
  recipients[1].data = 1;
  std::vector<ChangeMessage> out;
  tell(Action::kInsert, recipients, {R"({"a":1})", R"({"b":1})"}, out);
  REQUIRE(out.size() == 2);
  CHECK(out[0].payload == R"({"ids":[11],"data":{"a":1}})");
  CHECK(out[1].payload == R"({"ids":[12],"data":{"b":1}})");
}

TEST_CASE("channels of a topic that are told the same share their message") {
  std::vector<Recipient> recipients{element(7, 0, 11), element(8, 0, 11), element(9, 0, 12)};
  std::vector<ChangeMessage> out;
  tell(Action::kUpdate, recipients, {"{}"}, out);
  REQUIRE(out.size() == 2);
  CHECK(out[0].to == std::vector<ChangesId>{{0, 7}, {0, 8}});
  CHECK(out[1].to == std::vector<ChangesId>{{0, 9}});
}

TEST_CASE("channels that are told the same share their message whoever stands between them") {
  std::vector<Recipient> recipients;
  for (std::uint64_t channel = 1; channel <= 6; ++channel) {
    recipients.push_back(element(channel, 0, 11));
    recipients.back().topic = channel % 2 == 0 ? "realtime:room" : "realtime:hall";
    recipients.back().data = channel > 4 ? 1 : 0;
  }
  std::vector<ChangeMessage> out;
  tell(Action::kUpdate, recipients, {"{}", R"({"a":1})"}, out);
  REQUIRE(out.size() == 4);
  CHECK(out[0].to == std::vector<ChangesId>{{0, 1}, {0, 3}});
  CHECK(out[1].to == std::vector<ChangesId>{{0, 2}, {0, 4}});
  CHECK(out[2].to == std::vector<ChangesId>{{0, 5}});
  CHECK(out[3].to == std::vector<ChangesId>{{0, 6}});
  CHECK(out[3].payload == R"({"ids":[11],"data":{"a":1}})");
}

TEST_CASE("a join of the old API is told the bare change under its type [PC-025]") {
  std::vector<Recipient> recipients{element(7, 0, 11)};
  recipients[0].form = ChangeForm::kBare;
  std::vector<ChangeMessage> out;
  tell(Action::kDelete, recipients, {R"({"a":1})"}, out);
  REQUIRE(out.size() == 1);
  CHECK(out[0].event == "DELETE");
  CHECK(out[0].payload == R"({"a":1})");
}

}  // namespace
}  // namespace rt::changes
