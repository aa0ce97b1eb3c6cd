// Which rows of a batch have to be looked for, and in whose name: everybody is asked once about all rows that they
// might be told of, each key once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/database/row_visibility.h"

namespace rt::database {

class VisibilityLooks {
 public:
  using ViewerOf = std::function<const std::shared_ptr<const Viewer>&(std::size_t)>;

  // A row that some might be told of; the same viewer may occur several times. Returns by which it is known, from 0 on.
  std::size_t add(const std::shared_ptr<const CatalogTable>& table, VisibilityKeys::Key key, std::size_t viewers,
                  const ViewerOf& viewer_of);
  bool empty() const { return looks_.empty(); }

  // To be answered. Once, when all rows are there.
  std::vector<VisibilityQuestion>& questions();
  // Whether the one who was in that place may see the row, once they are.
  bool is_visible(std::size_t look, std::size_t viewer) const;

 private:
  using Numbers = std::vector<std::uint32_t>;

  struct OfTable {
    std::shared_ptr<const CatalogTable> facts;
    std::unordered_map<std::string, std::uint32_t> number_of;  // by the text of all of a key
    std::vector<VisibilityKeys::Key> keys;                     // by number
    std::unordered_map<const Viewer*, std::uint32_t> place_of;
    std::vector<std::shared_ptr<const Viewer>> viewers;               // in those places
    std::map<Numbers, std::shared_ptr<const VisibilityKeys>> shared;  // what is asked about
    std::vector<const Numbers*> asked;                                // by each viewer
    std::size_t first_question = 0;                                   // the others follow
  };
  struct Look {
    std::uint32_t table = 0;
    std::uint32_t key = 0;
    Numbers viewers;
  };

  void ask(OfTable& table, const std::vector<const Look*>& looks);

  std::vector<std::unique_ptr<OfTable>> tables_;  // few
  std::vector<Look> looks_;
  std::vector<VisibilityQuestion> questions_;
};

}  // namespace rt::database
