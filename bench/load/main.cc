// The load benchmark of the whole server: it starts servers on one core, puts load on them from another, and compares
// what they use with the least that the same traffic can cost.
//
// Budgets that are missed are shown but are no error, because machines are noisy. A lost message is an error.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "load/child.h"
#include "load/client_loop.h"
#include "load/interrupt.h"
#include "load/report.h"
#include "load/scenario.h"

namespace {

using namespace rt::load;

struct Scenario {
  const char* name;
  rt::Result<void> (*run)(const Bench&);
};

constexpr Scenario kScenarios[] = {
    {"fanout", fan_out},         {"topics", topics},         {"connections", connections},
    {"payloads", payloads},      {"workers", workers},       {"rest", rest},
    {"hostile", hostile},        {"neighbours", neighbours}, {"tls", tls},
    {"scrape", scrape},          {"presence", presence},     {"private", private_joins},
    {"stored", stored_messages}, {"changes", row_changes},   {"policies", row_policies},
    {"filters", row_filters},
};

struct Options {
  std::string server = "build/release/realtime";
  std::string json_file;
  std::vector<std::string> only;
  std::string server_args;
  int runs = 5;
  int server_core = 0;
  int client_core = 1;
};

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const Scenario& scenario : kScenarios) names.emplace_back(scenario.name);
  return names;
}

void declare(CLI::App& app, Options& options) {
  app.add_option("--server", options.server, "the server's program")->capture_default_str()->check(CLI::ExistingFile);
  app.add_option("--json", options.json_file, "also write the figures to this file");
  app.add_option("--only", options.only, "scenarios to run, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember(scenario_names()));
  app.add_option("--runs", options.runs, "runs of which medians are taken")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  app.add_option("--server-args", options.server_args, "more arguments for the server, separated by spaces");
  app.add_option("--server-core", options.server_core, "core of the server and the baseline")->capture_default_str();
  app.add_option("--client-core", options.client_core, "core of the clients")->capture_default_str();
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

void raise_open_files() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

rt::Result<void> run_scenarios(const Options& options, Report& report) {
  hold_back_interrupts();
  raise_open_files();
  if (const auto pinned = pin_this_process({options.client_core}); !pinned) return pinned;

  rt::Result<void> outcome;
  for (const Scenario& scenario : kScenarios) {
    if (!options.only.empty() && std::ranges::count(options.only, scenario.name) == 0) continue;
    if (const auto go_on = not_interrupted(); !go_on) return go_on;
    std::fprintf(stderr, "%s ...\n", scenario.name);
    const auto loop = ClientLoop::create();
    if (!loop) return tl::make_unexpected(loop.error());
    const Bench bench{
        .loop = **loop,
        .report = report,
        .server = {.program = options.server, .cores = {options.server_core}, .args = words(options.server_args)},
        .all_cores = {options.server_core, options.client_core},
        .client_core = options.client_core,
        .runs = options.runs};
    if (const auto ran = scenario.run(bench); !ran) {
      outcome = rt::fail(ran.error(), scenario.name);
      std::fprintf(stderr, "load_bench: %s\n", outcome.error().message.c_str());
    }
  }
  return outcome;
}

rt::Result<void> write_json(const std::string& file, const Report& report) {
  std::ofstream out(file);
  out << report.json();
  if (!out.flush()) return rt::fail("cannot write " + file);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("The load benchmark of the whole server.");
  declare(app, options);
  CLI11_PARSE(app, argc, argv);

  Report report;
  const auto outcome = run_scenarios(options, report);
  std::fputs(report.table().c_str(), stdout);
  if (!options.json_file.empty()) {
    if (const auto written = write_json(options.json_file, report); !written) {
      std::fprintf(stderr, "load_bench: %s\n", written.error().message.c_str());
      return 1;
    }
  }
  return outcome ? 0 : 1;
}
