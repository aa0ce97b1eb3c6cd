#include "protocol/bus/codec.h"

#include <optional>
#include <utility>
#include <vector>

#include "protocol/bus/wire.h"

namespace rt::bus {
namespace {

// Numbers of the kinds in a Bus message: the order of the variant, from 1.
enum Kind : std::uint32_t { kHeartbeat = 1, kDigest, kDelta, kPull, kChunk, kFragment };

// --- writing

std::string encode_replica(ReplicaId replica) {
  std::string out;
  FieldWriter fields(out);
  fields.fixed64(1, replica.node);
  fields.fixed64(2, replica.incarnation);
  return out;
}

std::string encode_clocks(const std::vector<std::uint64_t>& clocks) {
  std::string out;
  std::uint64_t before = 0;
  for (const std::uint64_t clock : clocks) append_varint(out, clock - std::exchange(before, clock));
  return out;
}

void write_births(FieldWriter& fields, std::uint32_t number, const std::vector<PresenceBirth>& births) {
  const PresenceBirth* before = nullptr;
  std::string out;
  for (const PresenceBirth& birth : births) {
    out.clear();
    FieldWriter inner(out);
    inner.varint(1, birth.clock);
    inner.varint(2, birth.replaces);
    if (before == nullptr || before->topic != birth.topic) inner.bytes(3, birth.topic);
    if (before == nullptr || before->key != birth.key) inner.bytes(4, birth.key);
    inner.bytes(5, birth.payload.view());
    fields.bytes(number, out);
    before = &birth;
  }
}

std::string body_of(const Heartbeat& heartbeat) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(heartbeat.sender));
  fields.varint(2, heartbeat.sequence);
  fields.bytes(3, heartbeat.region);
  return out;
}

std::string body_of(const PresenceDigest& digest) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(digest.sender));
  fields.varint(2, digest.shard);
  for (const auto& version : digest.versions) {
    std::string inner;
    FieldWriter inner_fields(inner);
    inner_fields.bytes(1, encode_replica(version.replica));
    inner_fields.varint(2, version.clock);
    fields.bytes(3, inner);
  }
  return out;
}

std::string body_of(const PresenceDelta& delta) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(delta.sender));
  fields.varint(2, delta.shard);
  fields.varint(3, delta.from);
  fields.varint(4, delta.to);
  write_births(fields, 5, delta.births);
  if (!delta.gone.empty()) fields.bytes(6, encode_clocks(delta.gone));
  return out;
}

std::string body_of(const PresencePull& pull) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(pull.sender));
  fields.varint(2, pull.shard);
  fields.bytes(3, encode_replica(pull.receiver));
  fields.varint(4, pull.id);
  fields.bytes(5, encode_replica(pull.replica));
  fields.varint(6, pull.known);
  fields.varint(7, pull.after);
  fields.varint(8, pull.top);
  return out;
}

std::string body_of(const PresenceChunk& chunk) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(chunk.sender));
  fields.varint(2, chunk.shard);
  fields.bytes(3, encode_replica(chunk.receiver));
  fields.varint(4, chunk.id);
  fields.bytes(5, encode_replica(chunk.replica));
  fields.varint(6, chunk.after);
  fields.varint(7, chunk.through);
  fields.varint(8, chunk.top);
  if (!chunk.kept.empty()) fields.bytes(9, encode_clocks(chunk.kept));
  write_births(fields, 10, chunk.births);
  return out;
}

std::string body_of(const Fragment& fragment) {
  std::string out;
  FieldWriter fields(out);
  fields.bytes(1, encode_replica(fragment.sender));
  fields.varint(2, fragment.id);
  fields.varint(3, fragment.index);
  fields.varint(4, fragment.count);
  fields.bytes(5, fragment.piece);
  return out;
}

// --- reading: each says whether the field, or the whole text, was well-formed

bool take_number(const Field& field, std::uint64_t& value) {
  value = field.value;
  return field.type == WireType::kVarint;
}

bool take_number(const Field& field, std::uint32_t& value) {
  value = static_cast<std::uint32_t>(field.value);
  return field.type == WireType::kVarint && field.value <= UINT32_MAX;
}

bool take_text(const Field& field, std::string& text) {
  text = field.bytes;
  return field.type == WireType::kBytes;
}

// Passes each field to `take`, which returns false for a wrong one.
template <class Take>
bool read_fields(std::string_view bytes, Take take) {
  FieldReader reader(bytes);
  while (const auto field = reader.next())
    if (!take(*field)) return false;
  return !reader.is_broken();
}

bool take_fixed(const Field& field, std::uint64_t& value) {
  value = field.value;
  return field.type == WireType::kFixed64;
}

bool take_replica(const Field& field, ReplicaId& replica) {
  return field.type == WireType::kBytes && read_fields(field.bytes, [&](const Field& inner) {
           if (inner.number == 1) return take_fixed(inner, replica.node);
           if (inner.number == 2) return take_fixed(inner, replica.incarnation);
           return true;
         });
}

bool take_clocks(const Field& field, std::vector<std::uint64_t>& clocks) {
  if (field.type != WireType::kBytes) return false;
  std::uint64_t clock = 0;
  for (std::string_view rest = field.bytes; !rest.empty();) {
    const auto distance = take_varint(rest);
    if (!distance || *distance == 0 || __builtin_add_overflow(clock, *distance, &clock)) return false;
    if (clocks.size() == kClocksMax) return false;
    clocks.push_back(clock);
  }
  return true;
}

bool take_birth(const Field& field, std::vector<PresenceBirth>& births) {
  if (field.type != WireType::kBytes || births.size() == kBirthsMax) return false;
  PresenceBirth birth;
  if (!births.empty()) {
    birth.topic = births.back().topic;
    birth.key = births.back().key;
  }
  const bool is_read = read_fields(field.bytes, [&](const Field& inner) {
    switch (inner.number) {
      case 1:
        return take_number(inner, birth.clock);
      case 2:
        return take_number(inner, birth.replaces);
      case 3:
        return take_text(inner, birth.topic);
      case 4:
        return take_text(inner, birth.key);
      case 5:
        birth.payload = PresencePayload(inner.bytes);
        return inner.type == WireType::kBytes;
      default:
        return true;
    }
  });
  if (!is_read || birth.clock == 0 || !birth.payload) return false;
  births.push_back(std::move(birth));
  return true;
}

bool take_version(const Field& field, std::vector<PresenceDigest::Version>& versions) {
  if (field.type != WireType::kBytes || versions.size() == kVersionsMax) return false;
  auto& version = versions.emplace_back();
  return read_fields(field.bytes, [&](const Field& inner) {
    if (inner.number == 1) return take_replica(inner, version.replica);
    if (inner.number == 2) return take_number(inner, version.clock);
    return true;
  });
}

bool take(const Field& field, Heartbeat& heartbeat) {
  switch (field.number) {
    case 1:
      return take_replica(field, heartbeat.sender);
    case 2:
      return take_number(field, heartbeat.sequence);
    case 3:
      return field.bytes.size() <= kRegionBytesMax && take_text(field, heartbeat.region);
    default:
      return true;
  }
}

bool take(const Field& field, PresenceDigest& digest) {
  switch (field.number) {
    case 1:
      return take_replica(field, digest.sender);
    case 2:
      return take_number(field, digest.shard);
    case 3:
      return take_version(field, digest.versions);
    default:
      return true;
  }
}

bool take(const Field& field, PresenceDelta& delta) {
  switch (field.number) {
    case 1:
      return take_replica(field, delta.sender);
    case 2:
      return take_number(field, delta.shard);
    case 3:
      return take_number(field, delta.from);
    case 4:
      return take_number(field, delta.to);
    case 5:
      return take_birth(field, delta.births);
    case 6:
      return delta.gone.empty() && take_clocks(field, delta.gone);
    default:
      return true;
  }
}

bool take(const Field& field, PresencePull& pull) {
  switch (field.number) {
    case 1:
      return take_replica(field, pull.sender);
    case 2:
      return take_number(field, pull.shard);
    case 3:
      return take_replica(field, pull.receiver);
    case 4:
      return take_number(field, pull.id);
    case 5:
      return take_replica(field, pull.replica);
    case 6:
      return take_number(field, pull.known);
    case 7:
      return take_number(field, pull.after);
    case 8:
      return take_number(field, pull.top);
    default:
      return true;
  }
}

bool take(const Field& field, PresenceChunk& chunk) {
  switch (field.number) {
    case 1:
      return take_replica(field, chunk.sender);
    case 2:
      return take_number(field, chunk.shard);
    case 3:
      return take_replica(field, chunk.receiver);
    case 4:
      return take_number(field, chunk.id);
    case 5:
      return take_replica(field, chunk.replica);
    case 6:
      return take_number(field, chunk.after);
    case 7:
      return take_number(field, chunk.through);
    case 8:
      return take_number(field, chunk.top);
    case 9:
      return chunk.kept.empty() && take_clocks(field, chunk.kept);
    case 10:
      return take_birth(field, chunk.births);
    default:
      return true;
  }
}

bool take(const Field& field, Fragment& fragment) {
  switch (field.number) {
    case 1:
      return take_replica(field, fragment.sender);
    case 2:
      return take_number(field, fragment.id);
    case 3:
      return take_number(field, fragment.index);
    case 4:
      return take_number(field, fragment.count);
    case 5:
      return take_text(field, fragment.piece);
    default:
      return true;
  }
}

template <class Message>
Result<BusMessage> decode_body(std::string_view bytes, const char* name) {
  Message message;
  if (read_fields(bytes, [&](const Field& field) { return take(field, message); })) return message;
  return fail(std::string("a malformed ") + name);
}

}  // namespace

std::string encode(const BusMessage& message) {
  std::string out;
  const std::string body = std::visit([](const auto& kind) { return body_of(kind); }, message);
  FieldWriter(out).bytes(static_cast<std::uint32_t>(message.index()) + 1, body);
  return out;
}

// One field and nothing else: its length tells whether something was cut off.
Result<BusMessage> decode(std::string_view bytes) {
  FieldReader reader(bytes);
  const auto field = reader.next();
  if (!field || field->type != WireType::kBytes || reader.next() || reader.is_broken())
    return fail("no bus message, or not all of it");
  switch (field->number) {
    case kHeartbeat:
      return decode_body<Heartbeat>(field->bytes, "heartbeat");
    case kDigest:
      return decode_body<PresenceDigest>(field->bytes, "digest");
    case kDelta:
      return decode_body<PresenceDelta>(field->bytes, "delta");
    case kPull:
      return decode_body<PresencePull>(field->bytes, "pull");
    case kChunk:
      return decode_body<PresenceChunk>(field->bytes, "chunk");
    case kFragment:
      return decode_body<Fragment>(field->bytes, "fragment");
    default:
      return fail("a bus message of kind " + std::to_string(field->number) + ", which is not known here");
  }
}

}  // namespace rt::bus
