// Work shared with the threads of XLA's own pool.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <utility>

#include "shapes.h"
#include "xla/ffi/api/ffi.h"

namespace tinyunet {

// Runs body(0) ... body(count - 1), in any order, on the pool and on the calling thread.
//
// The caller works too and waits only for pieces that somebody has begun, so it ends even where every other thread of
// the pool waits in the same way: a helper that comes late finds nothing left and touches nothing.
template <typename Body>
void parallel_for(xla::ffi::ThreadPool& pool, Index count, const Body& body) {
  struct Shared {
    const Body* body;
    Index count;
    std::atomic<Index> next{0}, done{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error;

    void work() {
      for (Index i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
        try {
          (*body)(i);
        } catch (...) {
          if (!failed.exchange(true)) error = std::current_exception();
        }
        done.fetch_add(1, std::memory_order_release);
      }
    }
  };
  const auto shared = std::make_shared<Shared>();
  shared->body = &body;
  shared->count = count;
  const Index helpers = std::min<Index>(pool.num_threads(), count) - 1;
  for (Index i = 0; i < helpers; ++i) pool.Schedule([shared] { shared->work(); });
  shared->work();
  for (int turns = 0; shared->done.load(std::memory_order_acquire) < count; ++turns) {
    if (turns > 200) std::this_thread::yield();
  }
  if (shared->error) std::rethrow_exception(shared->error);
}

// Memory that a thread keeps from one call to the next, so that the system does not clear it anew every time.
class Scratch {
 public:
  // At least `count` floats, aligned to a cache line; what was there is lost.
  float* floats(Index count) {
    if (count > size_) {
      memory_.reset();
      size_ = 0;
      memory_.reset(static_cast<float*>(::operator new[](sizeof(float) * count, kAlignment)));
      size_ = count;
    }
    return memory_.get();
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* memory) const { ::operator delete[](memory, kAlignment); }
  };
  std::unique_ptr<float[], Free> memory_;
  Index size_ = 0;
};

}  // namespace tinyunet
