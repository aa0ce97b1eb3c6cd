#include "libpq/libpq.h"

#include <dlfcn.h>

#include <string>

namespace rt {
namespace {

constexpr const char* kLibrary = "libpq.so.5";

Result<Libpq> load() {
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return fail(std::string("Postgres needs libpq: install the package libpq5, or what has ") + kLibrary + " (" +
                dlerror() + ")");
  Libpq out;
#define RT_FIND(name)                                                     \
  out.name = reinterpret_cast<decltype(out.name)>(dlsym(library, #name)); \
  if (out.name == nullptr) return fail(std::string(kLibrary) + " is too old: it has no " + #name);
  RT_LIBPQ_FUNCTIONS(RT_FIND)
#undef RT_FIND
  return out;
}

}  // namespace

Result<const Libpq*> libpq() {
  static const Result<Libpq> loaded = load();
  if (!loaded) return tl::make_unexpected(loaded.error());
  return &*loaded;
}

}  // namespace rt
