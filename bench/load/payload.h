// Payload objects, the same ones in every run.
#pragma once

#include <cstddef>
#include <string>

namespace rt::load {

// A small broadcast with filling, of exactly that size.
std::string plain_payload(std::size_t bytes);

enum class State {
  kCursors,  // of those who work on a drawing board: names, numbers, words and colours of a palette
  kShapes,   // on it: random ids, fractions and colours, half of which no compressor can shrink
};

// As much of a state as fits.
std::string state_payload(std::size_t bytes_max, State state);

}  // namespace rt::load
