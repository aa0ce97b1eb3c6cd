// Result: a value, or the reason why there is none.
//
// What a peer or the world did wrong travels as a Result; what we did wrong is an RT_CHECK.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace rt {

// For people: it ends up in a log line or on a terminal. Faults that decide what a peer is told have types of their
// own.
struct Error {
  std::string message;
};

template <class T, class E = Error>
using Result = tl::expected<T, E>;

inline tl::unexpected<Error> fail(std::string message) { return tl::make_unexpected(Error{std::move(message)}); }

// The same failure with what only the caller knows put in front of it.
inline tl::unexpected<Error> fail(const Error& cause, std::string_view doing) {
  return fail(std::string(doing) + ": " + cause.message);
}

}  // namespace rt
