// A transaction that asks as somebody else, one after the other: what every way of asking the policies has in common.
//
// Whoever is asked for is known to the database by six settings (authorization.md 2) that end with the question, by
// going back to the savepoint in front of it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "io/postgres/batch.h"
#include "model/rights_question.h"

namespace rt::database {

inline constexpr std::string_view kBroadcastExtension = "broadcast";
inline constexpr std::string_view kPresenceExtension = "presence";

// `timeout`: of the session between two statements.
postgres::Statement begin_asking(std::chrono::milliseconds timeout);
// Of each statement from here on.
postgres::Statement set_timeout(std::chrono::milliseconds timeout);
postgres::Statement save();
postgres::Statement go_back();
postgres::Statement become(const RightsQuestion& question);

// The claims as policies see them: their source text, with the times that have a fraction rounded.
std::string claims_for_policies(const Claims& claims);

// In UTC, to the microsecond.
std::string timestamp(std::chrono::system_clock::time_point time);

// `{"a","b"}`, quoted as an array of texts is.
class ArrayText {
 public:
  void add(std::string_view element);
  void add_null();
  std::string take() { return std::move(text_) + "}"; }

 private:
  std::string text_ = "{";
};

}  // namespace rt::database
