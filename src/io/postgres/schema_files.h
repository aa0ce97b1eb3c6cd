// The files of sql/, which the build makes part of the program.
#pragma once

#include <span>
#include <string_view>

namespace rt::postgres {

struct SchemaFile {
  std::string_view folder;  // "tenant/ours"
  std::string_view name;    // "001_partitions_and_send.sql"
  std::string_view text;
};

// In the order in which they run.
std::span<const SchemaFile> schema_files();

}  // namespace rt::postgres
