#include "host_device.h"

#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "device_clock.h"

namespace lrdsl {

uintptr_t HostDevice::allocate(size_t size) {
  return reinterpret_cast<uintptr_t>(::operator new(size, std::align_val_t(256)));
}

void HostDevice::free(uintptr_t address) { ::operator delete(reinterpret_cast<void*>(address), std::align_val_t(256)); }

void HostDevice::give(std::function<void()> work) {
  to_do_.push_back(std::move(work));
  catch_up(lag);
}

void HostDevice::catch_up(int64_t allowed) {
  while (static_cast<int64_t>(to_do_.size()) > allowed) {
    to_do_.front()();
    to_do_.pop_front();
  }
}

void HostDevice::synchronize(uintptr_t stream) {
  if (capturing(stream)) throw std::runtime_error("the host cannot wait for the device during a capture");
  catch_up(0);
}

void HostDevice::upload(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream) {
  ++uploads;
  const char* const from = reinterpret_cast<const char*>(source);
  const auto copy = [to, bytes = std::vector<char>(from, from + size)] {
    if (!bytes.empty()) memcpy(reinterpret_cast<void*>(to), bytes.data(), bytes.size());
  };
  capturing(stream) ? copy() : give(copy);
}

void HostDevice::download(uintptr_t to, uintptr_t source, size_t size, uintptr_t stream) {
  synchronize(stream);
  if (size != 0) memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(source), size);
}

void HostDevice::launch(int64_t kernels, const std::function<void(const HostStream&)>& call) {
  const auto run = [this, kernels, call] {
    static constexpr int64_t BLOCKS[] = {7, 1, 64, 2, 300};
    launches += kernels;
    const uint64_t turn = turn_++;
    call(HostStream{{BLOCKS[turn % 5], turn, 1 + static_cast<int>(turn % 3)}});
  };
  if (!capturing_) return give(run);
  graphs_.back().push_back(run);
}

namespace {

// A device runs a kernel made for these formats only; here one kernel runs them all, so this is asked.
void check_formats(int kind, int formats, const Tables& t) {
  for (int64_t i = 0; i < t.n_rows; ++i) {
    if (t.gradients[i].place == 0) continue;
    const bool amsgrad = kind == static_cast<int>(Rule::ADAM) && (t.hypers[t.rows[i].group].flags & AMSGRAD) != 0;
    const int needed = format_of(t.rows[i], t.gradients[i]) | (amsgrad ? AMSGRADS : 0);
    if ((needed & ~formats) != 0) throw std::logic_error("the kernel of this launch is not made for a row of it");
  }
}

}  // namespace

void HostDevice::step(int kind, int formats, const Tables& t, uintptr_t) {
  const bool ticket = takes_ticket(variant, formats);
  const bool measures = (t.control.flags & MEASURE) != 0;
  launch(ticket && !measures ? 1 : 2, [=, how = variant](const HostStream& stream) {
    check_formats(kind, formats, t);
    kind == static_cast<int>(Rule::SGD) ? launch_step<SgdRule>(stream, how, formats, t)
                                        : launch_step<AdamRule>(stream, how, formats, t);
  });
}

void HostDevice::measure(const Tables& t, uintptr_t) {
  launch(1, [=](const HostStream& stream) { stream.norm<SgdRule>(t, false); });
}

void HostDevice::report(const Tables& t, int64_t metric, uintptr_t value, int32_t dtype, uintptr_t) {
  launch(1, [=](const HostStream& stream) { stream.report(t, metric, number_at(value, dtype)); });
}

void HostDevice::report_number(const Tables& t, int64_t metric, double value, uintptr_t) {
  launch(1, [=](const HostStream& stream) { stream.report(t, metric, value); });
}

void HostDevice::publish(const Tables& t, bool advances, uintptr_t) {
  launch(1, [=](const HostStream& stream) { stream.schedule(t, advances); });
}

void HostDevice::evaluate(uintptr_t program, uintptr_t slots, uintptr_t steps, int64_t count, uintptr_t out,
                          uintptr_t) {
  launch(1, [=](const HostStream&) {
    for (int64_t i = 0; i < count; ++i)
      pointer<double>(out)[i] = lrdsl::evaluate(*pointer<const Program>(program), pointer<const int64_t>(steps)[i],
                                                pointer<const double>(slots));
  });
}

void HostDevice::begin_capture() {
  if (capturing_) throw std::runtime_error("a capture is under way");
  graphs_.emplace_back();
  capturing_ = true;
}

size_t HostDevice::end_capture() {
  if (!capturing_) throw std::runtime_error("no capture is under way");
  capturing_ = false;
  return graphs_.size() - 1;
}

void HostDevice::replay(size_t graph) {
  if (capturing_) throw std::runtime_error("a capture is under way");
  for (const auto& run : graphs_.at(graph)) give(run);
}

}  // namespace lrdsl
