// The table of all settings that have an effect, in the order in which --help lists them. Defaults stand in config.h.
#pragma once

#include <string_view>
#include <vector>

#include "main/setting.h"

namespace rt::app {

struct SettingGroup {
  std::string_view title;
  std::vector<Setting> settings;
};

std::vector<SettingGroup> all_settings();

}  // namespace rt::app
