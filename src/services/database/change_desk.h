// The channels of a tenant that want row changes. They stay here whatever becomes of the connection to its database.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>

#include "model/changes.h"

namespace rt::database {

class ChangeDesk {  // loop-bound
 public:
  // What all channels of a tenant may have said together; more are refused.
  static constexpr std::size_t kBytesMax = std::size_t{256} << 20;

  using Question = std::shared_ptr<const ChangesQuestion>;

  // False: there is no room for it, and nothing has changed.
  bool put(ChangesQuestion question) {
    const ChangesId id = question.id;
    const std::size_t before = bytes_of(id);
    if (bytes_ - before + question.bytes() > kBytesMax) return false;
    bytes_ += question.bytes() - before;
    questions_[id] = std::make_shared<const ChangesQuestion>(std::move(question));
    return true;
  }
  void remove(ChangesId id) {
    bytes_ -= bytes_of(id);
    questions_.erase(id);
  }
  Question find(ChangesId id) const {
    const auto found = questions_.find(id);
    return found == questions_.end() ? nullptr : found->second;
  }
  bool empty() const { return questions_.empty(); }
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [id, question] : questions_) visit(id, question);
  }

 private:
  struct IdHash {
    std::size_t operator()(const ChangesId& id) const { return id.number * 0x9e3779b97f4a7c15ULL + id.worker; }
  };
  std::size_t bytes_of(ChangesId id) const {
    const auto found = questions_.find(id);
    return found == questions_.end() ? 0 : found->second->bytes();
  }

  std::unordered_map<ChangesId, Question, IdHash> questions_;
  std::size_t bytes_ = 0;
};

}  // namespace rt::database
