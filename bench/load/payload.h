// Payload objects of an exact size in bytes, the same ones in every run.
#pragma once

#include <cstddef>
#include <string>

namespace rt::load {

// A small broadcast with filling.
std::string plain_payload(std::size_t bytes);

// The state of a drawing board: ids, names, coordinates and colours, as compressible as such things really are.
std::string state_payload(std::size_t bytes);

}  // namespace rt::load
