#include "base/job_thread.h"

#include <pthread.h>

#include <utility>

namespace rt {

JobThread::JobThread(const std::string& name, std::size_t jobs_max)
    : jobs_max_(jobs_max), thread_([this, name] {
        pthread_setname_np(pthread_self(), name.c_str());
        run();
      }) {}

JobThread::~JobThread() { stop(); }

bool JobThread::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || jobs_.size() >= jobs_max_) return false;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
  return true;
}

void JobThread::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void JobThread::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

}  // namespace rt
