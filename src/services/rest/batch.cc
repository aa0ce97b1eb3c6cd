#include "services/rest/batch.h"

#include <algorithm>
#include <utility>

#include "protocol/json/value.h"

namespace rt::rest {
namespace {

constexpr std::string_view kBlank = "can't be blank";
constexpr std::string_view kInvalid = "is invalid";
constexpr std::size_t kEscapedMax = 6;  // bytes that a byte of a name may become in JSON

// What is wrong with one message, as the members of a JSON object.
class Faults {
 public:
  void add(std::string_view field, std::string_view text) {
    members_ += members_.empty() ? "" : ",";
    members_ += json::quoted(field) + ":[" + json::quoted(text) + "]";
  }
  bool empty() const { return members_.empty(); }
  std::string object() const { return "{" + members_ + "}"; }

 private:
  std::string members_;
};

std::string of_messages(const std::string& what) { return R"({"errors":{"messages":[)" + what + "]}}"; }

std::string required_text(json::Value message, std::string_view field, Faults& faults) {
  const auto value = message.member(field);
  if (value && !value->is_null() && !value->is_string()) {
    faults.add(field, kInvalid);
    return {};
  }
  std::string text = value && value->is_string() ? *value->string() : std::string();
  if (is_blank(text)) faults.add(field, kBlank);
  return text;
}

std::string_view required_payload(json::Value message, std::int64_t payload_kb_max, std::uint64_t& size,
                                  Faults& faults) {
  const auto value = message.member("payload");
  if (!value || value->is_null()) {
    faults.add("payload", kBlank);
  } else if (!value->is_object()) {
    faults.add("payload", kInvalid);
  } else {
    if (value->text().size() <= kDeliveredBytesMax) size = measured_size(value->text()).value_or(UINT64_MAX);
    if (size <= size_max(payload_kb_max)) return value->text();
    faults.add("payload", "Payload size exceeds tenant limit");
  }
  return {};
}

Privacy privacy_of(json::Value message, Faults& faults) {
  const auto value = message.member("private");
  if (!value || value->is_null()) return Privacy::kPublic;
  const std::string text = value->is_string() ? *value->string() : std::string(value->text());
  const bool may_be_number_text = value->is_string();
  if (text == "true" || (may_be_number_text && text == "1")) return Privacy::kPrivate;
  if (text != "false" && !(may_be_number_text && text == "0")) faults.add("private", kInvalid);
  return Privacy::kPublic;
}

std::optional<std::string> id_of(json::Value message, Faults& faults) {
  const auto value = message.member("id");
  if (!value || value->is_null()) return std::nullopt;
  if (!value->is_string()) faults.add("id", kInvalid);
  return value->string();
}

std::string delivered(std::string_view event, std::string_view payload, const std::optional<std::string>& id) {
  std::string out = R"({"event":)" + json::quoted(event) + ",\"payload\":";
  out.append(payload).append(R"(,"type":"broadcast")");
  if (id) out += ",\"meta\":{\"id\":" + json::quoted(*id) + "}";
  return out + "}";
}

}  // namespace

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\n\v\f\r") == std::string_view::npos; }

Message message_of(BatchMessage&& one) {
  return {.privacy = one.privacy,
          .topic = std::string(kTopicPrefix) + one.topic,
          .kind = MessageKind::kJson,
          .payload = std::move(one.payload),
          .payload_size = one.size};
}

std::optional<std::uint64_t> measured_size(std::string_view payload) {
  const auto walked = json::walk_value(payload);
  if (!walked) return std::nullopt;
  return 1 + walked->term_size;
}

std::uint64_t size_max(std::int64_t payload_kb_max) { return static_cast<std::uint64_t>(payload_kb_max) * 1000 + 500; }

Result<std::vector<BatchMessage>, std::string> read_batch(std::string_view body, std::int64_t payload_kb_max) {
  const auto messages = json::Value(body).member("messages");
  if (!messages || messages->is_null()) return tl::make_unexpected(of_messages(json::quoted(kBlank)));
  if (!messages->is_array()) return tl::make_unexpected(of_messages(json::quoted(kInvalid)));

  std::vector<BatchMessage> batch;
  std::string all_faults;
  bool is_good = true;
  std::size_t count = 0;
  for (json::Elements counted(*messages); counted.next();) ++count;
  if (count > kBatchMessagesMax) {
    return tl::make_unexpected(
        of_messages(json::quoted("must have at most " + std::to_string(kBatchMessagesMax) + " messages")));
  }
  json::Elements elements(*messages);
  while (const auto element = elements.next()) {
    if (!element->is_object()) return tl::make_unexpected(of_messages(json::quoted(kInvalid)));
    Faults faults;
    BatchMessage message;
    message.topic = required_text(*element, "topic", faults);
    const std::string event = required_text(*element, "event", faults);
    const std::string_view payload = required_payload(*element, payload_kb_max, message.size, faults);
    message.privacy = privacy_of(*element, faults);
    const auto id = id_of(*element, faults);
    if (faults.empty()) message.payload = delivered(event, payload, id);
    if (message.payload.size() + message.topic.size() * kEscapedMax > kDeliveredBytesMax)
      faults.add("payload", "Payload size exceeds tenant limit");
    is_good = is_good && faults.empty();
    all_faults += (batch.empty() ? "" : ",") + faults.object();
    batch.push_back(std::move(message));
  }
  if (batch.empty()) return tl::make_unexpected(of_messages(json::quoted(kBlank)));
  if (!is_good) return tl::make_unexpected(of_messages(all_faults));
  return batch;
}

}  // namespace rt::rest
