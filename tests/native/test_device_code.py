"""The shared headers as device code: they compile, and only the fused multiply-adds that are written come out."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"

EVALUATOR = """
#include "evaluate.h"
__global__ void evaluator(const lrdsl::Program* program, const int64_t* steps, double* state, double* out) {
  const int i = threadIdx.x;
  out[i] = lrdsl::evaluate(*program, steps[i], state);
  lrdsl::observe(*program, 0, out[i], steps[i], state);
}
"""

UPDATE = """
#include "update.h"
using namespace lrdsl;
template <class T>
__device__ void sgd(const Hyper& h, T* p, const T* g) { Sgd<T>(h, true).plain(*p, *g); }
template <class T>
__device__ void momentum(const Hyper& h, T* p, const T* g, T* m) { Sgd<T>(h, true).with_momentum(*p, *g, *m); }
template <class T>
__device__ void adam(const AdamFactors& f, T* p, const T* g, T* m, T* v) { Adam<T>(f).plain(*p, *g, *m, *v); }
template <class T>
__device__ void amsgrad(const AdamFactors& f, T* p, const T* g, T* m, T* v, T* x) {
  Adam<T>(f).amsgrad(*p, *g, *m, *v, *x);
}
__global__ void factors(Hyper h, int64_t step, AdamFactors* out) { *out = adam_factors(h, step); }
#define KERNELS(T, X)                                                                                        \\
  __global__ void sgd_##X(Hyper h, T* p, T* g) { sgd(h, p, g); }                                              \\
  __global__ void momentum_##X(Hyper h, T* p, T* g, T* m) { momentum(h, p, g, m); }                           \\
  __global__ void adam_##X(AdamFactors f, T* p, T* g, T* m, T* v) { adam(f, p, g, m, v); }                    \\
  __global__ void amsgrad_##X(AdamFactors f, T* p, T* g, T* m, T* v, T* x) { amsgrad(f, p, g, m, v, x); }
KERNELS(float, f32)
KERNELS(double, f64)
"""

AROUND = """
#include "norm.h"
#include "update.h"
using namespace lrdsl;
template <class T>
__device__ void prepared(const Control& c, T* g) { *g = Preparation<T>(c)(*g); }
__global__ void prepare_f32(Control c, float* g) { prepared(c, g); }
__global__ void prepare_f64(Control c, double* g) { prepared(c, g); }
template <class E>
__device__ void lanes(const E* g, double* out) {
  Opmath<E> lanes[LANES] = {};
  for (int i = 0; i < LANES; ++i) tally(lanes[i], load(g[i]));
  *out = sum_of_lanes(lanes);
}
__global__ void norm_bf16(const Bfloat16* g, double* out) { lanes(g, out); }
__global__ void norm_fp16(const Float16* g, double* out) { lanes(g, out); }
__global__ void norm_f32(const float* g, double* out) { lanes(g, out); }
__global__ void norm_f64(const double* g, double* out) { lanes(g, out); }
__global__ void total(Control c, double* sum) { *sum = skips(c) ? 0.0 : norm_of(*sum, c); }
__global__ void narrow(const float* from, Bfloat16* b, Float16* h) { store(*b, *from); store(*h, *from); }
__global__ void limit(float* p, float* g, float* m, float* v) { Limit<float>().plain(*p, *g, *m, *v); }
"""

# Weight decay and the step; besides, the buffer and nesterov; weight decay and the two moments.
FUSED = {"sgd": 2, "momentum": 4, "adam": 3, "amsgrad": 3}


def ptx(source, folder):
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("not run: nvcc not found")
    (folder / "kernel.cu").write_text(source)
    flags = ["-std=c++17", "-arch=sm_80", "-O3", "--fmad=false", "-Werror", "all-warnings", f"-I{CSRC}"]
    command = [nvcc, *flags, "-ptx", "kernel.cu", "-o", "kernel.ptx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "kernel.ptx").read_text()


def test_evaluator_has_no_fused_multiply_add(tmp_path):
    code = ptx(EVALUATOR, tmp_path)
    assert "mul.rn.f64" in code or "mul.f64" in code  # it is the evaluator that was compiled
    assert "fma.rn.f64" not in code


def test_nothing_is_fused_around_the_rules(tmp_path):
    code = ptx(AROUND, tmp_path)
    assert code.count(".entry") == 9
    assert re.search(r"\bmul(\.rn)?\.f32", code)
    assert re.search(r"\bmul(\.rn)?\.f64", code)
    assert not re.search(r"\bfma\.rn\.f\d\d", code)


def test_updates_fuse_what_is_written(tmp_path):
    found = Counter()
    kernel = ""
    for line in ptx(UPDATE, tmp_path).splitlines():
        if entry := re.search(r"\.entry \w*?(factors|(?:sgd|momentum|adam|amsgrad)_f\d\d)", line):
            kernel = entry[1]
        elif operation := re.search(r"\bfma\.rn\.(f\d\d)", line):
            found[kernel, operation[1]] += 1
    assert found == {(f"{rule}_{kind}", kind): n for rule, n in FUSED.items() for kind in ("f32", "f64")}
