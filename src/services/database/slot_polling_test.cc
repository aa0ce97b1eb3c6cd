#include <boost/asio/awaitable.hpp>

#include "testing/slot_listener.h"
#include "testing/walsender_crowd.h"

namespace rt::database {
namespace {

using enum SlotReader::Continuity;
using Continuities = std::vector<SlotReader::Continuity>;

SlotStreamConfig polling() {
  SlotStreamConfig config = SlotListener::quick();
  config.poll_for = milliseconds(1'000);
  return config;
}

}  // namespace

TEST_CASE("without a walsender rows come all the same, each once, and go on with one when there is one [PC-118]") {
  SlotListener listener(polling());
  listener.until_streaming();
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
  listener.end();
  testing::WalsenderCrowd crowd(listener.loop);
  SlotListener::insert(2);
  listener.begin();
  listener.until_told(rows_to(2));
  CHECK(listener.counters.polling.value() == 1);
  CHECK(listener.log.has("Crowded"));
  CHECK(listener.log.all.find("meanwhile rows are asked for") != std::string::npos);
  SlotListener::insert(3);
  listener.until_told(rows_to(3));
  crowd.leave();
  listener.loop.until([&] { return listener.reader.is_streaming && listener.counters.polling.value() == 0; });
  SlotListener::insert(4);
  listener.until_told(rows_to(4));
  CHECK(listener.reader.continuities.front() == kNew);
  CHECK(std::ranges::count(listener.reader.continuities, kSame) ==
        static_cast<std::ptrdiff_t>(listener.reader.continuities.size()) - 1);
}

TEST_CASE("without a walsender, too, a reader gets no more at a time than it takes, and what it gives up once more") {
  SlotListener listener(polling());
  listener.until_streaming();
  listener.end();
  const testing::WalsenderCrowd crowd(listener.loop);
  listener.reader.taken_max = 10;
  listener.reader.gives_up = true;
  cluster().sql("INSERT INTO public.one SELECT i FROM generate_series(1, 25) i");
  listener.begin();
  listener.until_told(rows_to(25));
  CHECK(listener.reader.given_up.size() == 10);
  const std::string told = SlotListener::position();
  listener.loop.until([&] { return SlotListener::is_confirmed(told); });
}

TEST_CASE("without a walsender, too, a slot is made, and replaced when its changes cannot be decoded") {
  SlotListener listener(polling());
  listener.end(SlotStream::Slot::kIsDropped);
  listener.reader.continuities.clear();
  const testing::WalsenderCrowd crowd(listener.loop);
  listener.begin();
  listener.until_streaming();
  CHECK(listener.reader.continuities == Continuities{kNew});
  SlotListener::insert(1);
  listener.until_told(rows_to(1));
  cluster().sql(
      "DROP PUBLICATION \"Our \"\"tables\"\", all\"; INSERT INTO public.two VALUES ('lost'); CREATE PUBLICATION \"Our "
      "\"\"tables\"\", all\" FOR TABLE public.one, public.two");
  listener.loop.until([&] { return std::ranges::count(listener.reader.continuities, kNew) == 2; });
  listener.until_streaming();
  SlotListener::insert(2);
  listener.until_told(rows_to(2));
}

}  // namespace rt::database
