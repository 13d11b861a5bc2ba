// The update rules on registers: what SGD and Adam do to one element. No memory, no threads.
//
// The fma's are the definition, not an optimisation: with them, and no others, fp32 results equal those of torch's
// fused CPU kernels bit for bit. Compile with -ffp-contract=off, or --fmad=false.
#pragma once

#include <cmath>

#include "element.h"
#include "elementary.h"
#include "portable.h"
#include "tables.h"

namespace lrdsl {

LRDSL_HD float fused(float a, float b, float c) { return ::fmaf(a, b, c); }
LRDSL_HD double fused(double a, double b, double c) { return ::fma(a, b, c); }
LRDSL_HD float root(float x) { return ::sqrtf(x); }
LRDSL_HD double root(double x) { return ::sqrt(x); }

// ---- before the rule
// -------------------------------------------------------------------------------------------------

// A scaler passes a sum over devices, so anything but 0 is an overflow.
LRDSL_HD bool skips(const Control& control) {
  const bool finite = control.norm - control.norm == 0.0;
  return (control.found_inf != 0 && *pointer<const float>(control.found_inf) != 0.0f) ||
         ((control.flags & SKIP_NONFINITE) != 0 && !finite);
}

LRDSL_HD double clip_factor(const Control& control) {
  if ((control.flags & CLIP) == 0) return 1.0;
  const double factor = control.max_norm / (control.norm + 1e-6);
  return factor >= 1.0 ? 1.0 : factor;  // a NaN stays, as in torch
}

// What every gradient goes through before its rule. Dividing and multiplying by 1 changes no bit, so one functor serves
// whichever of the two is wanted; where none is, `needed` is false.
template <class T>
struct Preparation {
  T scale, clip;
  bool needed;

  LRDSL_HD explicit Preparation(const Control& control)
      : scale(control.grad_scale == 0 ? T(1) : static_cast<T>(*pointer<const float>(control.grad_scale))),
        clip(static_cast<T>(clip_factor(control))),
        needed(scale != T(1) || clip != T(1)) {}

  LRDSL_HD T operator()(T g) const { return g / scale * clip; }
};

// ---- SGD -----------------------------------------------------------------------------------------------------------

template <class T>
struct Sgd {
  T neg_lr, weight_decay, momentum, grad_weight;
  bool maximize, decays, nesterov, first;

  LRDSL_HD Sgd(const Hyper& h, bool started)
      : neg_lr(static_cast<T>(-h.lr)),
        weight_decay(static_cast<T>(h.weight_decay)),
        momentum(static_cast<T>(h.momentum)),
        grad_weight(static_cast<T>(1.0 - h.dampening)),
        maximize((h.flags & MAXIMIZE) != 0),
        decays(h.weight_decay != 0.0),
        nesterov((h.flags & NESTEROV) != 0),
        first(!started) {}

  LRDSL_HD T gradient(T p, T g) const {
    if (maximize) g = -g;
    return decays ? fused(p, weight_decay, g) : g;
  }

  LRDSL_HD void plain(T& p, T g) const { p = fused(gradient(p, g), neg_lr, p); }

  LRDSL_HD void with_momentum(T& p, T g, T& buffer) const {
    g = gradient(p, g);
    // The first gradient enters undamped, whatever the buffer held.
    const T b = first ? g : fused(g, grad_weight, buffer * momentum);
    buffer = b;
    p = fused(nesterov ? fused(b, momentum, g) : b, neg_lr, p);
  }
};

// ---- Adam and AdamW ------------------------------------------------------------------------------------------------

// What depends on the group and on the parameter's step only, in float64: the powers are worth sharing.
struct AdamFactors {
  double decay;     // p is multiplied by it: 1 - lr * weight_decay if decoupled, else 1
  double l2;        // p times this is added to the gradient
  double w1;        // 1 - beta1
  double w2;        // 1 - beta2
  double beta2;     //
  double neg_step;  // -lr / (1 - beta1^t)
  double bc2s;      // sqrt(1 - beta2^t)
  double eps;       //
  bool maximize;
};

// The update after `step` others has this number, and its betas are raised to it.
LRDSL_HD double adam_time(int64_t step) { return static_cast<double>(step + 1); }

LRDSL_HD AdamFactors adam_factors(const Hyper& h, double beta1_power, double beta2_power) {
  const bool decoupled = (h.flags & DECOUPLED) != 0;
  return {decoupled ? 1.0 - h.lr * h.weight_decay : 1.0,
          decoupled ? 0.0 : h.weight_decay,
          1.0 - h.beta1,
          1.0 - h.beta2,
          h.beta2,
          -(h.lr / (1.0 - beta1_power)),
          root(1.0 - beta2_power),
          h.eps,
          (h.flags & MAXIMIZE) != 0};
}

LRDSL_HD AdamFactors adam_factors(const Hyper& h, int64_t step) {
  const double t = adam_time(step);
  return adam_factors(h, power(h.beta1, t), power(h.beta2, t));
}

template <class T>
struct Adam {
  static constexpr T largest = sizeof(T) == 8 ? static_cast<T>(0x1.fffffffffffffp1023) : static_cast<T>(0x1.fffffep127);
  T decay, l2, lerp, w2, beta2, neg_step, bc2s, inverse, eps;
  bool maximize, decays, from_gradient;

  // Rounded once, here, from float64.
  LRDSL_HD explicit Adam(const AdamFactors& f)
      : decay(static_cast<T>(f.decay)),
        l2(static_cast<T>(f.l2)),
        lerp(static_cast<T>(f.w1)),
        w2(static_cast<T>(f.w2)),
        beta2(static_cast<T>(f.beta2)),
        neg_step(static_cast<T>(f.neg_step)),
        bc2s(static_cast<T>(f.bc2s)),
        inverse(T(1) / bc2s),
        eps(static_cast<T>(f.eps)),
        maximize(f.maximize),
        decays(f.l2 != 0.0),
        from_gradient(lerp >= T(0.5)) {
    // m + w1 * (g - m) from its nearer end, so that beta1 = 0 gives exactly g.
    if (from_gradient) lerp = lerp - T(1);
  }

  LRDSL_HD void moments(T& p, T g, T& m, T& v) const {
    if (maximize) g = -g;
    if (decays) g = fused(p, l2, g);
    p = p * decay;
    m = fused(lerp, g - m, from_gradient ? g : m);
    v = fused(w2 * g, g, v * beta2);
  }

  // x / bc2s without dividing: the quotient by the reciprocal, corrected by its exact remainder, has the bits of a
  // division (Markstein 1990) as long as nothing overflows or is subnormal, which no root over such a number is. An
  // infinite quotient is taken finite, so that it has a remainder, and comes out infinite all the same.
  LRDSL_HD T divided(T x) const {
    const T product = x * inverse;
    const T quotient = product < largest ? product : largest;
    return fused(fused(-quotient, bc2s, x), inverse, quotient);
  }

  LRDSL_HD void move(T& p, T m, T v) const { p = p + (neg_step * m) / (divided(root(v)) + eps); }

  LRDSL_HD void plain(T& p, T g, T& m, T& v) const {
    moments(p, g, m, v);
    move(p, m, v);
  }

  LRDSL_HD void amsgrad(T& p, T g, T& m, T& v, T& vmax) const {
    moments(p, g, m, v);
    vmax = (v > vmax || v != v) ? v : vmax;  // a NaN stays, as in torch
    move(p, m, vmax);
  }
};

// ---- the limit pattern
// -----------------------------------------------------------------------------------------------

// Adam's streams with next to no arithmetic: what benchmarks compare Adam with, in the same process and on the same
// loop.
template <class T>
struct Limit {
  LRDSL_HD void plain(T& p, T g, T& m, T& v) const {
    p = p + g;
    m = m + g;
    v = v + g;
  }
};

}  // namespace lrdsl
