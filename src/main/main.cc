// The program: one binary, a subcommand for each job.

#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "main/config.h"
#include "main/config_command.h"
#include "main/doctor_command.h"
#include "main/serve.h"
#include "main/tenant_command.h"
#include "main/token_command.h"

namespace {

constexpr const char kUsage[] = "Datafuse Realtime " RT_VERSION
                                "\n\n"
                                "usage: realtime <command> [options]\n\n"
                                "  serve    run the server\n"
                                "  config   print the settings that a server would run with\n"
                                "  doctor   look at a tenant's database and print what is missing there\n"
                                "  tenant   list, show, make, change and remove tenants of a running server\n"
                                "  token    print a JWT signed with the tenant's or the metrics secret\n"
                                "  version  print the version\n\n"
                                "`realtime <command> --help` lists the options of a command.\n";

int run_serve(const std::vector<std::string>& arguments) {
  auto parsed = rt::app::parse_config(arguments, rt::app::process_environment());
  if (!parsed) {
    std::cerr << parsed.error().message << '\n';
    return 1;
  }
  if (parsed->help) {
    std::cout << *parsed->help;
    return 0;
  }
  return rt::app::serve(std::move(parsed->config));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string command = arguments.empty() ? "" : arguments[0];
  const std::vector<std::string> rest(arguments.begin() + (arguments.empty() ? 0 : 1), arguments.end());
  if (command == "serve") {
    const int code = run_serve(rest);
    // A log destination that takes nothing must not keep the process from ending: its thread may have been left behind.
    std::cout.flush();
    _exit(code);
  }
  if (command == "token") {
    rt::SystemClock clock;
    return rt::app::run_token_command(rest, rt::app::process_environment(), clock, std::cout, std::cerr);
  }
  if (command == "tenant") {
    rt::SystemClock clock;
    rt::SystemRandom random;
    return rt::app::run_tenant_command(rest, rt::app::process_environment(), clock, random, rt::app::call_http,
                                       std::cin, std::cout, std::cerr);
  }
  if (command == "doctor")
    return rt::app::run_doctor_command(rest, rt::app::process_environment(), std::cout, std::cerr);
  if (command == "config")
    return rt::app::run_config_command(rest, rt::app::process_environment(), std::cout, std::cerr);
  if (command == "version" || command == "--version") {
    std::cout << RT_VERSION << '\n';
    return 0;
  }
  const bool asks_for_help = command == "--help" || command == "-h" || command == "help";
  (asks_for_help ? std::cout : std::cerr) << kUsage;
  return asks_for_help ? 0 : 2;
}
