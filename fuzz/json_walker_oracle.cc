// Says of each text whether the JSON walker accepts it, for checks/json_walker.test.mjs.
//
// stdin: texts, each behind its length (four bytes, little-endian). stdout: one character per text, 1 or 0.
#include <cstdint>
#include <cstdio>
#include <string>

#include "protocol/json/walker.h"

namespace {

bool read_exactly(char* into, std::size_t bytes) { return std::fread(into, 1, bytes, stdin) == bytes; }

bool read_text(std::string& text) {
  unsigned char length[4];
  if (!read_exactly(reinterpret_cast<char*>(length), sizeof length)) return false;
  text.resize(std::size_t{length[0]} | std::size_t{length[1]} << 8 | std::size_t{length[2]} << 16 |
              std::size_t{length[3]} << 24);
  return read_exactly(text.data(), text.size());
}

}  // namespace

int main() {
  for (std::string text; read_text(text);) std::putchar(rt::json::walk_document(text) ? '1' : '0');
}
