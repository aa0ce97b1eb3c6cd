// A registry with a real store in a directory of its own, for tests.
#pragma once

#include <doctest/doctest.h>

#include <future>
#include <string>
#include <utility>
#include <vector>

#include "io/store/sqlite_store.h"
#include "services/tenancy/registry.h"
#include "testing/temporary_directory.h"

namespace rt::tenancy {

struct QuietLog final : Log {
  bool enabled(LogLevel) const override { return true; }
  void write(LogLevel, const LogFields&, std::string_view message) override {
    const std::lock_guard lock(mutex);
    lines.emplace_back(message);
  }
  std::uint64_t dropped() const override { return 0; }
  void reopen() override {}
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return lines.size();
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};

struct TestRegistry {
  using Format = tenants::Encryption::Format;
  explicit TestRegistry(const RegistryConfig& config = {}, Format format = Format::kLegacy)
      : encryption(kLegacyKey, kKey, format), registry(config, open_store(), directory, encryption, random, log) {}
  ~TestRegistry() { registry.stop(); }

  void start() {
    REQUIRE(registry.load());
    registry.start([this](const TenantChange& change) {
      const std::lock_guard lock(mutex);
      changes.push_back(change);
      changed.notify_all();
    });
  }
  PutOutcome put(const std::string& name, const std::string& json) {
    std::promise<PutOutcome> done;
    REQUIRE(registry.put(name, json, [&done](PutOutcome outcome) { done.set_value(std::move(outcome)); }));
    return done.get_future().get();
  }
  RemoveOutcome remove(const std::string& name) {
    std::promise<RemoveOutcome> done;
    REQUIRE(registry.remove(name, [&done](RemoveOutcome outcome) { done.set_value(outcome); }));
    return done.get_future().get();
  }
  // As another program would.
  void execute(const char* sql) const;  // in registry_test.cc
  TenantChange wait_for_change(std::size_t number) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return changes.size() >= number; });
    return changes[number - 1];
  }
  std::size_t changes_so_far() {
    const std::lock_guard lock(mutex);
    return changes.size();
  }
  std::unique_ptr<store::ControlStore> open_store() const {
    auto store = store::open_sqlite_store(path);
    REQUIRE(store);
    return std::move(*store);
  }

  TemporaryDirectory files;
  std::string path = files.file("control.sqlite");
  QuietLog log;
  SystemRandom random;
  static constexpr const char* kLegacyKey = "1234567890123456";
  static constexpr const char* kKey = "12345678901234567890123456789012";
  tenants::Encryption encryption;
  Directory directory{encryption, [this](const std::string& text) { log.warning(text); }};
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<TenantChange> changes;
  Registry registry;
};

}  // namespace rt::tenancy
