"""The shared headers as device code: they compile, and only the fused multiply-adds that are written come out."""

import operator
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

CSRC = Path(__file__).parents[2] / "csrc"

EVALUATOR = """
#include "evaluate.h"
__global__ void evaluator(const lrdsl::Program* program, const int64_t* steps, double* state, double* out) {
  const int i = threadIdx.x;
  out[i] = lrdsl::evaluate(*program, steps[i], state);
  lrdsl::observe(*program, 0, out[i], steps[i], false, state);
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


FLOAT32, FLOAT64 = "format_of(lrdsl::FLOAT32, false, false)", "format_of(lrdsl::FLOAT64, false, false)"
BFLOAT16, MASTER = "format_of(lrdsl::BFLOAT16, false, false)", "format_of(lrdsl::BFLOAT16, true, false)"
# What a kernel is made for, and how many blocks of 256 threads fit: 4 have 64 registers each, 3 have 80, 2 have 128.
UPDATES = [
    ("AdamRule", FLOAT32, 4),
    ("AdamRule", f"{FLOAT32} | AMSGRADS", 3),
    ("AdamRule", BFLOAT16, 4),
    ("AdamRule", MASTER, 3),  # on sm_90 four take 12 bytes of spills
    ("AdamRule", FLOAT64, 3),
    ("SgdRule", FLOAT32, 4),
    ("SgdRule", BFLOAT16, 4),
    ("SgdRule", MASTER, 4),
    ("SgdRule", FLOAT64, 3),
    ("SgdRule", "EVERYTHING", 3),
    ("AdamRule", "EVERYTHING", 2),
]
ARCHITECTURES = ["sm_80", "sm_90"]


def compiled(source, folder, *what, output):
    """What nvcc says while it compiles ``source`` into ``output``."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("not run: nvcc not found")
    (folder / "kernel.cu").write_text(source)
    flags = ["-std=c++17", "-O3", "--fmad=false", "-Werror", "all-warnings", f"-I{CSRC}"]
    if not any(word.startswith("-arch") for word in what):
        flags.append("-arch=sm_80")
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


def made(name, *parameters):
    """Source that makes a kernel of csrc/cuda_kernels.h for ``parameters``; it takes nothing but the tables."""
    return f"template __global__ void lrdsl::{name}<{', '.join(map(str, parameters))}>(const __grid_constant__ Tables);"


def resources(said, name):
    """Bytes of spills and registers of the kernels called ``name``, as ptxas tells them."""
    found = re.findall(
        rf"Compiling entry function '\w*{name}\w*'"
        r".*?(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
        said,
        re.DOTALL,
    )
    return [tuple(map(int, numbers)) for numbers in found]


@pytest.fixture(scope="module")
def updates(tmp_path_factory):
    """What ptxas says of the kernels in ``UPDATES``, on one architecture; all are compiled by one call."""

    @cache
    def said(architecture):
        folder = tmp_path_factory.mktemp(architecture)
        source = ['#include "cuda_kernels.h"', "using namespace lrdsl;"]
        source += [made("update_kernel", *update) for update in UPDATES]
        what = ["-cubin", "-Xptxas", "-v", f"-arch={architecture}"]
        return resources(compiled("\n".join(source), folder, *what, output="kernel.cubin"), "update_kernel")

    return said


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_updates_keep_to_their_registers(updates, architecture):
    found = updates(architecture)
    assert len(found) == len(UPDATES)
    assert [(stores, loads) for stores, loads, _ in found] == [(0, 0)] * len(UPDATES)
    # ptxas tells of them in an order of its own.
    allowed = sorted(65536 // (256 * blocks) // 8 * 8 for _, _, blocks in UPDATES)
    assert all(map(operator.le, sorted(registers for *_, registers in found), allowed))


def test_kernels_that_evaluate_compile_without_a_fused_multiply_add(tmp_path):
    # But for Adam's factors, nothing beside the update may fuse.
    source = """
        #include "cuda_kernels.h"
        using namespace lrdsl;
        template __global__ void lrdsl::advance_kernel<SgdRule>(const __grid_constant__ Tables);
        template __global__ void lrdsl::norm_kernel<SgdRule>(const __grid_constant__ Tables, bool);
    """
    code = ptx(source, tmp_path)
    names = (
        "advance_kernel",
        "norm_kernel",
        "report_kernel",
        "report_number_kernel",
        "schedule_kernel",
        "evaluate_kernel",
    )
    assert [name for name in names if name not in code] == []
    assert not re.search(r"\bfma\.rn\.f\d\d", code)


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["AdamRule", "SgdRule"])
@pytest.mark.parametrize("formats", [FLOAT32, MASTER])
def test_ticket_compiles(tmp_path, rule, formats):
    source = f'#include "cuda_kernels.h"\nusing namespace lrdsl;\n{made("update_at_once_kernel", rule, formats, 3)}'
    said = compiled(source, tmp_path, "-cubin", "-Xptxas", "-v", output="kernel.cubin")
    ((stores, loads, registers),) = resources(said, "update_at_once_kernel")
    assert registers <= 80
    assert stores + loads < 100  # round the evaluator, which one thread runs once in a while
