// Version 1 UUIDs (RFC 9562 5.1): a time, and who made them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rt {

// Of a UUID: 100 ns each, since 1582-10-15.
std::uint64_t uuid_ticks(std::chrono::system_clock::time_point time);

// Unique as long as one maker takes each tick once. `maker` is random: the node and the clock sequence are made of it.
std::string time_uuid(std::uint64_t ticks, std::uint64_t maker);

}  // namespace rt
