#!/bin/sh
# The steps' own tests under each tool of compute-sanitizer, with few steps. Torch's profiler and caching stay out of it.
#   LRDSL_SANITIZER_ARGS   more options for compute-sanitizer
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

if ! command -v compute-sanitizer >/dev/null; then
  echo "sanitizers not run: there is no compute-sanitizer on PATH"
  exit 0
fi
why=$("$PYTHON" -c 'from tests.devices import CUDA; print(CUDA.obstacle().removeprefix("not run: "))')
if [ -n "$why" ]; then
  echo "sanitizers not run: $why"
  exit 0
fi

export PYTORCH_NO_CUDA_MEMORY_CACHING=1 LRDSL_GPU_SHORT=1
for tool in memcheck racecheck initcheck synccheck; do
  echo "== $tool"
  # Expected refusals of CUDA's runtime are no reports: only what kernels do.
  set -- --tool "$tool" --error-exitcode 9
  [ "$tool" != memcheck ] || set -- "$@" --report-api-errors no
  # shellcheck disable=SC2086
  compute-sanitizer "$@" ${LRDSL_SANITIZER_ARGS:-} "$PYTHON" -m pytest -q -m gpu -p no:cacheprovider \
    tests/gpu/test_parity.py tests/gpu/test_graphs.py tests/gpu/test_amp.py tests/gpu/test_sizes.py \
    tests/gpu/test_ring.py tests/gpu/test_schedule_only.py tests/gpu/test_evaluator.py \
    -k 'not 32_bits and not wait and not launches and not tensors and not groups and not long_queue'
done
