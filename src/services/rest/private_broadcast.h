// Broadcasts to private topics: whether the sender may write there is asked of the tenant's database first
// (http-api.md 5 and 6).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

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

// The answer says whether it was sent, and why it was not.
void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, Message message, const Respond& respond);

// At least one. Each topic is asked for once. What may not be sent is left out, and so is what nobody could be asked
// about: the API has it so. `done` is called once all is over.
void send_private(const std::shared_ptr<Tenant>& tenant, const Sender& sender, std::vector<BatchMessage> messages,
                  std::function<void()> done);

}  // namespace rt::rest
