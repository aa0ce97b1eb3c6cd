#include "io/net/mailbox.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace rt::net {
namespace {

struct Note : Mail {
  Note(std::vector<std::vector<int>>& all, std::size_t from, int value) : seen(all), sender(from), number(value) {}
  void deliver() override { seen[sender].push_back(number); }
  std::vector<std::vector<int>>& seen;
  std::size_t sender;
  int number;
};

TEST_CASE(
    "mails of many threads all arrive, those of each in the order sent, and an empty box always asks for a wake-up") {
  constexpr std::size_t kSenders = 3;
  constexpr int kMails = 20'000;
  std::vector<std::vector<int>> seen(kSenders);
  Mailbox box;
  std::atomic<int> wake_ups{0};
  std::vector<std::thread> senders;
  for (std::size_t sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&, sender] {
      for (int i = 0; i < kMails; ++i) {
        if (box.push(std::make_unique<Note>(seen, sender, i), 10)) {
          wake_ups.fetch_add(1);
          wake_ups.notify_one();
        }
      }
    });
  }
  std::size_t received = 0;
  for (int handled = 0; received < kSenders * kMails;) {
    wake_ups.wait(handled);  // would hang if a wake-up were ever missed
    handled = wake_ups.load();
    while (const auto mail = box.pop()) {
      mail->deliver();
      ++received;
    }
  }
  for (auto& sender : senders) sender.join();
  for (const auto& numbers : seen) {
    REQUIRE(numbers.size() == kMails);
    for (int i = 0; i < kMails; ++i) REQUIRE(numbers[static_cast<std::size_t>(i)] == i);
  }
  CHECK(box.bytes() == 0);
}

TEST_CASE("a box that is destroyed takes its mails with it") {
  std::vector<std::vector<int>> seen(1);
  Mailbox box;
  CHECK(box.push(std::make_unique<Note>(seen, 0, 1), 5));
  CHECK(!box.push(std::make_unique<Note>(seen, 0, 2), 5));
  CHECK(box.bytes() == 10);
}

}  // namespace
}  // namespace rt::net
