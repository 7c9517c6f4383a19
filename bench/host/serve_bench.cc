// The host's work for a step: serve_bench MODEL [STEPS]. The device takes no time (see
// InstantBackend), so a step's time is that of scheduling, upload, reading tokens, detokenizing and
// handing out updates. Prints the median and the 99th percentile of single steps of the engine, and
// the mean CPU time of a service's steps, whose streams nobody reads meanwhile.

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "bench/host/instant_backend.h"
#include "runtime/engine_access.h"
#include "runtime/load/engine_plan.h"
#include "serve/engine_thread.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// CPU time of all threads.
double cpu_us() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

constexpr int kPromptTokens = 64;

EngineOptions options_for(int num_seqs, int num_steps, KvReservation reservation) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.threads = 1;
  options.max_seqs = num_seqs;
  options.max_seq_len = kPromptTokens + num_steps;
  options.max_tokens_per_step = 512;
  options.kv_reservation = reservation;
  return resolve_options(options);
}

Request request_of(int index, int num_steps) {
  Request request;
  for (int i = 0; i < kPromptTokens; ++i) request.prompt_ids.push_back(10 + (index * 7 + i) % 900);
  request.max_new_tokens = num_steps;
  request.ignore_eos = true;
  request.sampling.greedy = true;
  return request;
}

void bench_engine(const std::string& model, int num_seqs, int num_steps, int num_waiting,
                  KvReservation reservation) {
  const EngineOptions options = options_for(num_seqs, num_steps, reservation);
  EngineAccess::Impl engine(model, options, std::make_unique<bench::InstantBackend>(300));
  for (int i = 0; i < num_seqs + num_waiting; ++i) engine.submit(request_of(i, num_steps));
  for (int i = 0; i < 2 * num_seqs * kPromptTokens / 512 + 4; ++i) engine.step();
  std::vector<double> times;
  for (int i = 0; i < num_steps / 2; ++i) {
    const auto begin = Clock::now();
    engine.step();
    times.push_back(us_since(begin));
  }
  std::ranges::sort(times);
  fmt::print("engine, {} sequences, {} waiting, {}: {:.1f} us, 99 % {:.1f} us\n", num_seqs,
             num_waiting, reservation == KvReservation::grow ? "grow" : "full",
             times[times.size() / 2], times[times.size() * 99 / 100]);
}

void bench_service(const std::string& model, int num_seqs, int num_steps) {
  const auto make = [&](const LoadCallback&) {
    const EngineOptions options = options_for(num_seqs, num_steps, KvReservation::grow);
    return EngineAccess::make(std::make_unique<EngineAccess::Impl>(
        model, options, std::make_unique<bench::InstantBackend>(300)));
  };
  EngineThread service(make, {});
  service.wait_until_ready();
  std::vector<std::shared_ptr<ResponseStream>> streams;
  for (int i = 0; i < num_seqs; ++i) {
    streams.push_back(service.submit(request_of(i, num_steps), {}));
  }
  while (service.metrics().generation_tokens < static_cast<std::uint64_t>(num_seqs) * 8) {
  }
  const double begin = cpu_us();
  const std::uint64_t before = service.metrics().generation_tokens;
  streams.back()->result();
  const auto tokens = static_cast<double>(service.metrics().generation_tokens - before);
  fmt::print("service, {} streams: {:.1f} us a step\n", num_seqs,
             (cpu_us() - begin) / (tokens / num_seqs));
}

void run(const std::string& model, int num_steps) {
  for (const auto reservation : {KvReservation::full, KvReservation::grow}) {
    for (const int num_waiting : {0, 1000}) {
      bench_engine(model, 64, num_steps, num_waiting, reservation);
    }
  }
  bench_service(model, 64, num_steps);
}

}  // namespace
}  // namespace quern

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    fmt::print(stderr, "usage: serve_bench MODEL [STEPS]\n");
    return 2;
  }
  try {
    quern::run(argv[1], argc == 3 ? std::atoi(argv[2]) : 1500);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return 0;
}
