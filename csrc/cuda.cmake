# lrdsl._C_cuda, configured and built in a tree of its own: whatever goes wrong here, lrdsl._C is built already.
# Wants CMAKE_CUDA_COMPILER; LRDSL_CUDA_ARCHS, such as "80;90", replaces the architectures below.

execute_process(
  COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch
  OUTPUT_VARIABLE known ERROR_VARIABLE complaint RESULT_VARIABLE status
)
string(REGEX MATCHALL "[0-9]+" known "${known}")
if(NOT status EQUAL 0 OR NOT known)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} does not run (${status}). ${complaint}")
endif()

if(LRDSL_CUDA_ARCHS)
  set(archs ${LRDSL_CUDA_ARCHS})
  foreach(arch IN LISTS archs)
    string(REGEX MATCH "[0-9]+" number ${arch}) # 90a is for those who know
    if(NOT number IN_LIST known)
      list(JOIN known " " known)
      message(FATAL_ERROR "LRDSL_CUDA_ARCHS: this nvcc does not know ${arch}, only ${known}.")
    endif()
  endforeach()
else()
  set(archs)
  foreach(arch IN ITEMS 70 75 80 86 89 90 100 120)
    if(arch IN_LIST known)
      list(APPEND archs ${arch})
    endif()
  endforeach()
endif()
list(SORT archs COMPARE NATURAL)

# Machine code for each, and for devices yet to come the newest one's PTX. Set before CUDA is enabled, or CMake tries
# its compiler with an architecture that may be too old for it.
list(GET archs -1 newest)
list(TRANSFORM archs APPEND "-real" OUTPUT_VARIABLE CMAKE_CUDA_ARCHITECTURES)
list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
list(TRANSFORM archs PREPEND "sm_" OUTPUT_VARIABLE code)
list(APPEND code compute_${newest})

# The compiler of lrdsl._C, where one was asked for, unless nvcc was given its own.
if(DEFINED ENV{CXX} AND NOT DEFINED ENV{CUDAHOSTCXX} AND NOT DEFINED ENV{NVCC_CCBIN})
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()

enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)

set(LRDSL_CUDA_FLAGS --fmad=false -O3 --threads=2 -Wno-deprecated-gpu-targets)
set(LRDSL_CUDA_HOST_FLAGS -ffp-contract=off,-fno-math-errno)
if(LRDSL_DEV)
  # Not -Wconversion: what nvcc hands to the host compiler is not only ours.
  list(APPEND LRDSL_CUDA_FLAGS -Werror=all-warnings)
  string(APPEND LRDSL_CUDA_HOST_FLAGS ,-Wall,-Wextra)
endif()
if(LRDSL_WHEEL AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  list(APPEND LRDSL_CUDA_FLAGS --compress-mode=size)
endif()

find_package(Threads REQUIRED)

# Files that know CUDA know no Python, and the other way round.
pybind11_add_module(_C_cuda MODULE NO_EXTRAS
  bindings_cuda.cpp
  cuda_probe.cu
)
list(JOIN code " " names)
set_source_files_properties(bindings_cuda.cpp PROPERTIES COMPILE_DEFINITIONS "LRDSL_CUDA_CODE=\"${names}\"")
target_compile_options(_C_cuda PRIVATE
  "$<$<COMPILE_LANGUAGE:CXX>:${LRDSL_FLAGS}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:${LRDSL_CUDA_FLAGS};-Xcompiler=${LRDSL_CUDA_HOST_FLAGS}>"
)
# Our copy of the CUDA runtime is ours alone: torch may have another one in the same process.
target_link_options(_C_cuda PRIVATE LINKER:--exclude-libs,ALL)
target_link_libraries(_C_cuda PRIVATE Threads::Threads)
install(TARGETS _C_cuda LIBRARY DESTINATION lrdsl)

list(JOIN code "\", \"" code)
list(JOIN LRDSL_CUDA_FLAGS " " flags)
file(WRITE ${CMAKE_BINARY_DIR}/facts.json "{
  \"nvcc\": \"${CMAKE_CUDA_COMPILER}\",
  \"toolkit\": \"${CMAKE_CUDA_COMPILER_VERSION}\",
  \"architectures\": [\"${code}\"],
  \"flags\": \"${flags}\"
}
")
