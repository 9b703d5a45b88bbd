#ifndef TOPIARY_SERVER_API_STEPWISE_REACTOR_H_
#define TOPIARY_SERVER_API_STEPWISE_REACTOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "server/api/dispatch.h"
#include "server/api/executor.h"
#include "server/api/stream_registry.h"

namespace topiary {

// A stream that takes one step at a time. A step is a closure on the executor (which may block), or
// a read or write of gRPC; at its end it begins the next, waits, or ends the stream. So a subclass
// needs no lock of its own, holds one message in memory, and costs no thread while it waits.
//
// `Base` is grpc::ServerWriteReactor<T> or grpc::ServerReadReactor<T>. Stop() and Wake() are
// thread-safe; everything else is for the step that runs.
//
// Beware: End() and whatever follows from it may delete the reactor before they return.
template <typename Base>
class StepwiseReactor : public Base, public StoppableStream {
 public:
  StepwiseReactor(Executor* executor, StreamRegistry* streams)
      : executor_(executor), streams_(streams) {}

  // Begins the stream with the closure that `first_step` names, unless `valid` is an error, or
  // there are too many streams. The reactor deletes itself once gRPC is done with it.
  template <typename Reactor>
  static Base* Launch(std::shared_ptr<Reactor> reactor, absl::Status valid,
                      void (Reactor::*first_step)()) {
    Reactor* const raw = reactor.get();
    raw->self_ = reactor;
    if (valid.ok()) valid = raw->streams_->Add(reactor);
    if (!valid.ok()) {
      raw->End(valid);
    } else {
      raw->NextStep([raw, first_step] { (raw->*first_step)(); });
    }
    return raw;
  }

  void Stop(absl::Status status) override {
    {
      MutexLock lock(&mu_);
      if (state_ == State::kEnded || stop_.has_value()) return;
      stop_ = status;
      if (state_ == State::kInStep) return;  // which sees it when it is over
      state_ = State::kEnded;
    }
    this->Finish(ToAnswer(status));
  }

  void OnCancel() override { Stop(absl::CancelledError("the client has gone away")); }

  void OnDone() override {
    streams_->Remove(this);
    const std::shared_ptr<StoppableStream> self = std::move(self_);
  }

 protected:
  // What Wake() leads to. Must not block.
  virtual void OnWake() {}

  // Runs `step` on the executor, or ends the stream if it was stopped meanwhile.
  void NextStep(std::function<void()> step) {
    if (EndIfStopped()) return;
    executor_->PostNextStep([this, step = std::move(step)] {
      if (!EndIfStopped()) step();
    });
  }

  // Ends the step and waits for Wake(), which may have come already.
  void Wait() {
    std::optional<absl::Status> stop;
    {
      MutexLock lock(&mu_);
      if (stop_.has_value()) {
        state_ = State::kEnded;
        stop = stop_;
      } else if (!woken_) {
        state_ = State::kWaiting;
        return;
      }
      woken_ = false;
    }
    if (stop.has_value()) {
      this->Finish(ToAnswer(*stop));
    } else {
      OnWake();
    }
  }

  // Calls OnWake() as the next step: now if the stream waits, else at its next Wait().
  void Wake() {
    {
      MutexLock lock(&mu_);
      if (state_ != State::kWaiting) {
        woken_ = true;
        return;
      }
      state_ = State::kInStep;
    }
    OnWake();
  }

  // True if the stream was stopped: then it has ended.
  bool EndIfStopped() {
    std::optional<absl::Status> stop;
    {
      MutexLock lock(&mu_);
      stop = stop_;
    }
    if (!stop.has_value()) return false;
    End(*stop);
    return true;
  }

  void End(const absl::Status& status) {
    {
      MutexLock lock(&mu_);
      state_ = State::kEnded;
    }
    this->Finish(ToAnswer(status));
  }

 private:
  enum class State { kInStep, kWaiting, kEnded };

  Executor* const executor_;
  StreamRegistry* const streams_;
  std::shared_ptr<StoppableStream> self_;
  Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kInStep;
  bool woken_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> stop_ ABSL_GUARDED_BY(mu_);
};

}  // namespace topiary

#endif  // TOPIARY_SERVER_API_STEPWISE_REACTOR_H_
