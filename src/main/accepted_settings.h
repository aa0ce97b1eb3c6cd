// Variables of the reference server that this version accepts, so that a deployment's environment can be reused
// unchanged, but that change nothing yet. What can be checked about them is checked all the same: a typing error is
// better found today than with the version that obeys it.
#pragma once

#include <string>
#include <vector>

#include "main/config.h"

namespace rt::app {

struct AcceptedSettings {
  std::vector<std::string> given;   // names of those that are set
  std::vector<std::string> errors;  // one line each
};

AcceptedSettings check_accepted_settings(const Environment& environment);

}  // namespace rt::app
