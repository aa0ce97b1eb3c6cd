#include "base/log_line.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/utf8.h"

namespace rt {
namespace {

constexpr std::size_t kTextBytesMax = 4096;  // of a message or field; the rest is cut off
constexpr std::size_t kLineBytes = 256;      // holds most lines

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kCritical:
      return "critical";
  }
  return "?";
}

// kPlain: a message of the text format, where quotes and backslashes stay as they are.
enum class Escaping { kPlain, kQuoted, kJson };

// The character at the beginning of `text`; empty when it is not valid UTF-8.
std::string_view first_character(std::string_view text) {
  Utf8Validator validator;
  for (std::size_t length = 1; length <= text.size() && validator.feed(text.substr(length - 1, 1)); ++length) {
    if (validator.complete()) return text.substr(0, length);
  }
  return {};
}

// The code point of a character that could end a line or steer a terminal (C0, DEL, C1, U+2028, U+2029), else 0xffff.
unsigned control_code(std::string_view character) {
  constexpr unsigned kPrintable = 0xffff;
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f ? byte(0) : kPrintable;
  if (character.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0 ? byte(1) : kPrintable;
  if (character == "\xe2\x80\xa8") return 0x2028;
  if (character == "\xe2\x80\xa9") return 0x2029;
  return kPrintable;
}

// The end of what begins at `at` and needs no escaping at all, which is nearly everything.
std::size_t plain_end(std::string_view text, std::size_t at) {
  while (at < text.size() && at < kTextBytesMax && text[at] >= ' ' && text[at] < 0x7f && text[at] != '"' &&
         text[at] != '\\')
    ++at;
  return at;
}

void append_hex(std::string& out, const char* format, unsigned value) {
  char text[8];
  std::snprintf(text, sizeof text, format, value);
  out += text;
}

void append_character(std::string& out, std::string_view character, Escaping escaping) {
  const unsigned control = control_code(character);
  if (control == '\n') {
    out += "\\n";
  } else if (control != 0xffff) {
    append_hex(out, "\\u%04x", control);
  } else {
    if (escaping != Escaping::kPlain && (character == "\"" || character == "\\")) out += '\\';
    out += character;
  }
}

void append_escaped(std::string& out, std::string_view text, Escaping escaping) {
  for (std::size_t at = 0; at < text.size();) {
    if (at >= kTextBytesMax) {
      out += "...";
      return;
    }
    if (const std::size_t end = plain_end(text, at); end > at) {
      out += text.substr(at, end - at);
      at = end;
      continue;
    }
    const std::string_view character = first_character(text.substr(at));
    if (!character.empty()) {
      append_character(out, character, escaping);
      at += character.size();
      continue;
    }
    if (escaping == Escaping::kJson) {
      out += "\\ufffd";
    } else {
      append_hex(out, "\\x%02x", static_cast<unsigned char>(text[at]));
    }
    ++at;
  }
}

void append_digits(std::string& out, unsigned value, std::size_t digits) {
  out.append(digits, '0');
  for (std::size_t at = out.size(); digits > 0; --digits, value /= 10) out[--at] = static_cast<char>('0' + value % 10);
}

// By hand, for strftime and its like would cost more than the rest of the line.
void append_time(std::string& out) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto day = std::chrono::floor<std::chrono::days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(now - day);
  append_digits(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  append_digits(out += '-', static_cast<unsigned>(date.month()), 2);
  append_digits(out += '-', static_cast<unsigned>(date.day()), 2);
  append_digits(out += 'T', static_cast<unsigned>(time.hours().count()), 2);
  append_digits(out += ':', static_cast<unsigned>(time.minutes().count()), 2);
  append_digits(out += ':', static_cast<unsigned>(time.seconds().count()), 2);
  append_digits(out += '.', static_cast<unsigned>(time.subseconds().count()), 3);
  out += 'Z';
}

// Ours, so nothing is to be escaped.
void append_measurements(std::string& line, std::string_view name, std::string_view object) {
  if (!object.empty()) line.append(name).append(object);
}

void append_text_field(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  line.append(" ").append(name) += '=';
  const auto is_plain = [](char c) { return c > ' ' && c < 0x7f && !std::strchr("\"\\[]", c); };
  if (std::all_of(value.begin(), value.end(), is_plain)) {
    append_escaped(line, value, Escaping::kPlain);
    return;
  }
  line += '"';
  append_escaped(line, value, Escaping::kQuoted);
  line += '"';
}

void append_json_field(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  line.append(",\"").append(name) += "\":\"";
  append_escaped(line, value, Escaping::kJson);
  line += '"';
}

template <class Append>
void append_fields(std::string& line, const LogFields& fields, std::string_view region, Append append) {
  append(line, "request_id", fields.request_id);
  append(line, "project", fields.tenant);
  append(line, "external_id", fields.tenant);
  append(line, "error_code", fields.error_code);
  if (fields.expires_at != 0) append(line, "exp", std::to_string(fields.expires_at));
  append(line, "sub", fields.subject);
  append(line, "iss", fields.issuer);
  append(line, "topic", fields.topic);
  append(line, "client", fields.client);
  append(line, "region", region);
}

}  // namespace

std::string text_log_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message) {
  std::string line;
  line.reserve(kLineBytes);
  append_time(line);
  append_fields(line, fields, region, append_text_field);
  append_measurements(line, " measurements=", fields.measurements);
  line.append(" [").append(name_of(level)) += "] ";
  append_escaped(line, message, Escaping::kPlain);
  line += '\n';
  return line;
}

std::string json_log_line(LogLevel level, const LogFields& fields, std::string_view region, std::string_view message) {
  std::string line;
  line.reserve(kLineBytes);
  line += "{\"time\":\"";
  append_time(line);
  line.append("\",\"level\":\"").append(name_of(level)) += '"';
  append_fields(line, fields, region, append_json_field);
  append_measurements(line, ",\"measurements\":", fields.measurements);
  line += ",\"message\":\"";
  append_escaped(line, message, Escaping::kJson);
  line += "\"}\n";
  return line;
}

}  // namespace rt
