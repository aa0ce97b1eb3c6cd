// The embedded control store: one SQLite file in the data directory.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "io/store/store.h"

namespace rt::store {

// Opens the store, making the file (mode 0600) or bringing its schema up to date where needed. One caller at a time,
// from any thread. Every error names the path.
Result<std::unique_ptr<ControlStore>> open_sqlite_store(const std::string& path);

}  // namespace rt::store
