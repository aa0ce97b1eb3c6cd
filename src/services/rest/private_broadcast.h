// Broadcasts to private topics: whether the sender may write there is asked of the tenant's database first
// (http-api.md 5 and 6).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/token.h"
#include "protocol/http/request.h"
#include "services/rest/batch.h"
#include "services/rest/tenant.h"

namespace rt::rest {

using Respond = std::function<void(http::Response)>;

// Who sends: a verified token, and the headers that policies may see.
struct Sender {
  Claims claims;
  std::shared_ptr<const std::string> headers;  // a JSON object
};

// The room that messages take until it is known whether they may be sent. Each waits for a database, which may be slow
// or away, and what all of them hold is bounded.
class HeldMessages {
 public:
  // The error is the answer to the request.
  static Result<HeldMessages, http::Response> hold(std::shared_ptr<Tenant> tenant, std::size_t bytes);
  HeldMessages(HeldMessages&& other) noexcept = default;
  HeldMessages& operator=(HeldMessages&&) = delete;
  ~HeldMessages();

 private:
  HeldMessages(std::shared_ptr<Tenant> tenant, std::size_t bytes) : tenant_(std::move(tenant)), bytes_(bytes) {}

  std::shared_ptr<Tenant> tenant_;  // null: moved from
  std::size_t bytes_;
};

std::size_t bytes_of(const Sender& sender, const std::vector<BatchMessage>& messages);

// The answer says whether it was sent, and why it was not.
void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, Message message, const Respond& respond);

// At least one. Each topic is asked for once. What may not be sent is left out, and so is what nobody could be asked
// about: the API has it so. `done` is called once all is over.
void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, std::vector<BatchMessage> messages,
                  HeldMessages held, std::function<void()> done);

}  // namespace rt::rest
