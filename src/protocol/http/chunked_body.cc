#include "protocol/http/chunked_body.h"

#include <algorithm>
#include <charconv>

namespace rt::http {

ChunkedBody::Progress ChunkedBody::feed(std::string_view& in, std::string& body, std::size_t body_bytes_max) {
  while (!in.empty()) {
    if (state_ == State::kData) {
      const std::string_view data =
          in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(data_left_, in.size())));
      body += data;
      in.remove_prefix(data.size());
      data_left_ -= data.size();
      if (data_left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const char c = in.front();
    in.remove_prefix(1);
    if (c != '\n') {
      line_ += c;
      if (line_.size() > kLineBytesMax) return Progress::kMalformed;
      continue;
    }
    if (!line_.ends_with('\r')) return Progress::kMalformed;
    line_.pop_back();
    const Progress progress = end_of_line(body, body_bytes_max);
    if (progress != Progress::kNeedMore) return progress;
    line_.clear();
  }
  return Progress::kNeedMore;
}

ChunkedBody::Progress ChunkedBody::end_of_line(const std::string& body, std::size_t body_bytes_max) {
  switch (state_) {
    case State::kSizeLine: {
      const char* end = line_.data() + line_.size();
      const auto [digits_end, error] = std::from_chars(line_.data(), end, data_left_, 16);
      if (error == std::errc::result_out_of_range) return Progress::kTooLarge;
      const bool has_extension = digits_end != end && (*digits_end == ';' || *digits_end == ' ' || *digits_end == '\t');
      if (error != std::errc() || (digits_end != end && !has_extension)) return Progress::kMalformed;
      if (data_left_ > body_bytes_max - body.size()) return Progress::kTooLarge;
      state_ = data_left_ == 0 ? State::kTrailers : State::kData;
      return Progress::kNeedMore;
    }
    case State::kDataEnd:
      if (!line_.empty()) return Progress::kMalformed;
      state_ = State::kSizeLine;
      return Progress::kNeedMore;
    case State::kTrailers:
      if (line_.empty()) return Progress::kComplete;
      trailer_bytes_ += line_.size();
      if (trailer_bytes_ > kLineBytesMax || line_.find(':') == std::string::npos) return Progress::kMalformed;
      return Progress::kNeedMore;
    case State::kData:
      break;
  }
  return Progress::kMalformed;
}

}  // namespace rt::http
