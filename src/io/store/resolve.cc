#include "io/store/resolve.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>

namespace rt::store {

Result<std::vector<std::string>> resolve(const std::string& host, AddressFamily family) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_family = family == AddressFamily::kAny ? AF_UNSPEC : family == AddressFamily::kV4 ? AF_INET : AF_INET6;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &wanted, &list); error != 0) {
    const std::string kind = family == AddressFamily::kAny ? "" : family == AddressFamily::kV4 ? "IPv4 " : "IPv6 ";
    return fail("no " + kind + "address of " + host + ": " + gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  std::vector<std::string> addresses;
  for (const int one : {AF_INET6, AF_INET}) {
    for (const addrinfo* at = list; at != nullptr && addresses.size() < kAddressesMax; at = at->ai_next) {
      std::array<char, NI_MAXHOST> text;
      if (at->ai_family == one &&
          getnameinfo(at->ai_addr, at->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
        addresses.emplace_back(text.data());
    }
  }
  if (addresses.empty()) return fail("no address of " + host);
  return addresses;
}

}  // namespace rt::store
