// The send batch on io_uring: one system call for all dirty connections.
//
// Each connection gives one request, with MSG_DONTWAIT, so that the kernel completes all of them within the call that
// submits them and no buffer outlives the flush. What is gained is the price of a system call for each connection.
//
// io_uring(7), io_uring_setup(2)
#pragma once

#include <memory>

#include "base/result.h"
#include "io/net/send_batch.h"

namespace rt::net {

// Fails where the kernel is too old or forbids io_uring, as many containers do. It sends something to find out.
Result<std::unique_ptr<SendBatch>> make_uring_batch();

}  // namespace rt::net
