// The coroutines of this folder, named without Asio's headers: who awaits one includes <boost/asio/awaitable.hpp>
// itself.
#pragma once

namespace boost::asio {
class any_io_executor;
class io_context;
template <typename T, typename Executor>
class awaitable;
}  // namespace boost::asio

namespace rt::postgres {

// It runs on the thread of one io_context, and begins when it is awaited or spawned.
template <class T>
using Task = boost::asio::awaitable<T, boost::asio::any_io_executor>;

}  // namespace rt::postgres
