#include "domain/changes/questions.h"

namespace rt::changes {

Questions::TextId Questions::keep(std::string_view text) {
  const auto next = static_cast<TextId>(texts_.size());
  const auto place = ids_.lower_bound(text);
  if (place != ids_.end() && place->first == text) return place->second;
  texts_.push_back(&ids_.emplace_hint(place, text, next)->first);
  return next;
}

Questions::Index Questions::ask(const Question& question) {
  const auto [place, is_new] = places_.emplace(question, static_cast<Index>(questions_.size()));
  if (is_new) {
    questions_.push_back(question);
    answers_.emplace_back();
  }
  return place->second;
}

}  // namespace rt::changes
