// What there is to run on, asked without a word of CUDA in the answer: raw error codes, and 0 for success.
#pragma once

#include <string>
#include <utility>

namespace lrdsl {

// 13020 is CUDA 13.2. The driver is the newest CUDA that the installed driver serves, 0 without one; the runtime is
// what this module was built with.
int driver_version();
int runtime_version();

// How many devices there are, and the error code of asking.
std::pair<int, int> device_count();

// Throw std::runtime_error where there is no such device. Neither wakes the device up.
std::pair<int, int> capability(int index);
std::string device_name(int index);

// Loads a kernel on a device, as the first step there would: 209 if the module has no code for it.
int preload(int index);

// Name and description of an error code, in CUDA's words.
std::string error_text(int code);

}  // namespace lrdsl
