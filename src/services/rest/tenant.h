// What the REST API needs of a tenant, in its own words. Bound to the worker that has the request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "model/message.h"
#include "model/rights_question.h"
#include "model/tenant.h"
#include "model/token.h"

namespace rt::rest {

// Whether there is room for what a request holds while a database is asked.
enum class Room : std::uint8_t { kThere, kTenantIsFull, kNodeIsFull };

class Tenant {
 public:
  virtual ~Tenant() = default;

  virtual const TenantRecord& record() const = 0;
  virtual Result<TokenRef, TokenFault> verify(std::string_view token) = 0;

  // Averages of the last minute, as of their last tick.
  virtual void count_request() = 0;
  virtual double requests_per_second() = 0;
  virtual double events_per_second() = 0;

  // A line about the tenant, with a code of the register.
  virtual void log_error(std::string_view code, std::string_view text) = 0;

  // Asks the tenant's database. `answer` is called once, on the same worker: now, or later.
  virtual void ask_rights(RightsQuestion question, std::function<void(const RightsAnswer&)> answer) = 0;

  // Of all requests of the tenant, and of the node. What is there has to be given back, on any thread.
  virtual Room take_room(std::size_t bytes) = 0;
  virtual void give_room_back(std::size_t bytes) = 0;

  // `message` without tenant and hash. Counts as an event.
  virtual void publish(Message message) = 0;
};

// The tenant of a host; null: there is none. It may be kept until the request is answered.
using FindTenant = std::function<std::shared_ptr<Tenant>(std::string_view host)>;

}  // namespace rt::rest
