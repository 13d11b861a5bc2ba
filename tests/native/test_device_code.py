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

# Weight decay and the step; besides, the buffer and nesterov; weight decay, the two moments and the division.
FUSED = {"sgd": 2, "momentum": 4, "adam": 5, "amsgrad": 5}


KERNELS = """
#include "cuda_grid.h"
using namespace lrdsl;
template <class Rule>
__global__ void __launch_bounds__(THREADS) advances(Tables t) { advance<Rule>(CudaGrid(), t); }
template <class Rule>
__global__ void __launch_bounds__(THREADS, 4) norms(Tables t, bool advances) {
  __shared__ Shared shared;
  norm<Rule>(CudaGrid(), t, shared, advances);
}
template <class Rule, int FORMATS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) updates(Tables t) { update<Rule, FORMATS>(CudaGrid(), t); }
template <class Rule, int FORMATS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) updates_at_once(Tables t) {
  __shared__ Shared shared;
  update_at_once<Rule, FORMATS>(CudaGrid(), t, shared);
}
"""
FLOAT32, FLOAT64 = "format_of(lrdsl::FLOAT32, false, false)", "format_of(lrdsl::FLOAT64, false, false)"
BFLOAT16, MASTER = "format_of(lrdsl::BFLOAT16, false, false)", "format_of(lrdsl::BFLOAT16, true, false)"
# What the update is made for, and how many blocks of 256 threads fit: 4 have 64 registers each, 3 have 80, 2 have 128.
UPDATES = [
    ("AdamRule", FLOAT32, 4),
    ("AdamRule", BFLOAT16, 4),
    ("AdamRule", MASTER, 4),
    ("AdamRule", FLOAT64, 3),
    ("SgdRule", FLOAT32, 4),
    pytest.param("SgdRule", "EVERYTHING", 3, marks=pytest.mark.slow),
    pytest.param("AdamRule", "EVERYTHING", 2, marks=pytest.mark.slow),
]


def compiled(source, folder, *what, output):
    """What nvcc says while it compiles ``source`` into ``output``."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("not run: nvcc not found")
    (folder / "kernel.cu").write_text(source)
    flags = ["-std=c++17", "-arch=sm_80", "-O3", "--fmad=false", "-Werror", "all-warnings", f"-I{CSRC}"]
    command = [nvcc, *flags, *what, "kernel.cu", "-o", output]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def ptx(source, folder):
    compiled(source, folder, "-ptx", output="kernel.ptx")
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


def test_kernels_compile(tmp_path):
    instances = [
        "__global__ void __launch_bounds__(THREADS) reports(Tables t) { take_reports(CudaGrid(), t); }",
        "template __global__ void advances<SgdRule>(Tables);",
        "template __global__ void norms<AdamRule>(Tables, bool);",
        f"template __global__ void updates_at_once<AdamRule, {FLOAT32}, 4>(Tables);",
    ]
    compiled("\n".join([KERNELS, *instances]), tmp_path, "-cubin", output="kernel.cubin")


@pytest.mark.parametrize(("rule", "formats", "blocks"), UPDATES)
def test_update_keeps_to_its_registers(tmp_path, rule, formats, blocks):
    instance = f"template __global__ void updates<{rule}, {formats}, {blocks}>(Tables);"
    said = compiled(f"{KERNELS}\n{instance}", tmp_path, "-cubin", "-Xptxas", "-v", output="kernel.cubin")
    assert re.findall(r"(\d+) bytes spill", said) == ["0", "0"], said
    (registers,) = map(int, re.findall(r"Used (\d+) registers", said))
    assert registers <= 65536 // (256 * blocks), said
