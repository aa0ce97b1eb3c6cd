// What hostile clients do to a server. Each attack runs in a process of its own, see attack_process.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "load/client.h"
#include "load/client_loop.h"

namespace rt::load {

struct Target {
  std::uint16_t port;
  std::string handshake;          // with a valid token
  std::string deflate_handshake;  // likewise, and an offer of permessage-deflate
};

class Attack : public ClientEvents {
 public:
  // Called again every 10 ms, for as long as the attack lasts.
  virtual void tick() = 0;
  virtual bool is_in_position() const { return true; }

  // What it has done so far, in its own measure.
  std::uint64_t deeds() const { return deeds_; }

 protected:
  std::uint64_t deeds_ = 0;
};

struct AttackKind {
  std::string_view name;
  std::string_view deeds;                                                   // what is counted
  std::unique_ptr<Attack> (*make)(ClientLoop& loop, const Target& target);  // the target must outlive it
};

std::span<const AttackKind> attack_kinds();
// 10,000 broadcasts a second to ten receivers, on a tenant that may have 1,000.
const AttackKind& flood();

}  // namespace rt::load
