// A thread that does one job after the other, for what may take its time and has nothing to do with the loop of a
// worker.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace rt {

class JobThread {
 public:
  using Job = std::function<void()>;

  // `name` has at most 15 letters. `jobs_max` may wait at a time.
  JobThread(const std::string& name, std::size_t jobs_max);
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;

  // From any thread. False: too many wait, or it has been stopped, and the job is not done.
  bool post(Job job);
  // Does what waits, then ends. Again: nothing.
  void stop();

 private:
  void run();

  const std::size_t jobs_max_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rt
