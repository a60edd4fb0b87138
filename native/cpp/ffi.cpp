// What XLA calls: arguments are checked, then the work is cut into pieces for the pool's threads. How it is cut follows
// from the shapes alone, and sums of pieces are added up in order: the same bits for any number of threads.
#include <algorithm>
#include <new>
#include <string>

#include "kernels.h"
#include "parallel.h"
#include "xla/ffi/api/ffi.h"

namespace tinyunet {
namespace {

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32>;
using Result = ffi::Result<Array>;
using Numbers = ffi::Span<const int64_t>;

constexpr Index kMaxWindow = 3;
constexpr double kPieceProducts = 2e6;    // multiplications in a piece of a convolution: some 20 microseconds
constexpr Index kPieceFloats = 64 << 10;  // floats in a piece of a pass over a map
constexpr Index kPartFloats = 1 << 20;    // of all parts of a kernel's gradient
constexpr Index kPartPixels = 256;        // that a part must have, for the parts to be worth adding up
constexpr Index kPieces = 16;             // that a kernel's gradient is cut into where it can be

// Belongs to the call on this thread, and to the piece of work that this thread does: a call does pieces too.
thread_local Scratch call_scratch, piece_scratch;

ffi::Error invalid(const std::string& message) {
  return ffi::Error(ffi::ErrorCode::kInvalidArgument, "tinyunet_native: " + message);
}

std::string text(Numbers shape) {
  std::string list = "(";
  for (size_t i = 0; i < shape.size(); ++i) list += (i ? ", " : "") + std::to_string(shape[i]);
  return list + ")";
}

template <typename Buffer>
Index count(const Buffer& array) {
  return static_cast<Index>(array.element_count());
}

template <typename A, typename B>
bool same_shape(const A& a, const B& b) {
  const auto x = a.dimensions(), y = b.dimensions();
  return std::equal(x.begin(), x.end(), y.begin(), y.end());
}

template <typename Body>
ffi::Error guarded(const Body& body) {
  try {
    body();
    return ffi::Error::Success();
  } catch (const std::bad_alloc&) {
    return ffi::Error(ffi::ErrorCode::kResourceExhausted, "tinyunet_native: out of memory");
  } catch (const std::exception& error) {
    return ffi::Error(ffi::ErrorCode::kInternal, std::string("tinyunet_native: ") + error.what());
  }
}

// Maps are (batch, z, y, x, channels), kernels (z, y, x, channels, features); the other numbers are one for each axis.
ffi::Error describe(const Array& x, const Array& more, const Kernel& kernel, Numbers window, Numbers out, Index features,
                    Numbers before, Numbers stride, bool spread, Convolution& c) {
  const auto a = x.dimensions(), b = more.dimensions();
  if (a.size() != 5 || b.size() != 5 || out.size() != 5) return invalid("maps must have 5 axes.");
  const Index wide = kernel.blocks ? kernel.taps * kernel.features : kernel.features;
  const Index channels = kernel.turned ? wide : kernel.channels;
  if (before.size() != 3 || stride.size() != 3) return invalid("padding and stride must have 3 numbers.");
  for (int i = 0; i < 4; ++i) {
    if (a[i] != b[i]) return invalid("two maps must differ in channels alone, got " + text(a) + " and " + text(b));
  }
  if (a[4] < 1 || a[4] + b[4] != channels) {
    return invalid("a kernel of " + std::to_string(channels) + " channels cannot be used on " + text(a) + " and " +
                   text(b));
  }
  bool fits = a[0] >= 1 && out[0] == a[0] && features >= 1 && features == (kernel.turned ? kernel.channels : wide);
  for (int i = 0; i < 3; ++i) {
    const Index taps = i == 2 && kernel.blocks ? 1 : window[i], size = a[i + 1];
    fits = fits && taps >= 1 && taps <= kMaxWindow && before[i] >= 0 && before[i] < taps && size >= 1;
    fits = fits && stride[i] >= 1 && stride[i] <= kMaxWindow && (i < 2 || stride[i] == 1);
    if (!fits) break;
    const bool plain = stride[i] == 1 || (before[i] == 0 && taps == stride[i]);
    const Index expected = spread ? size * stride[i] : (size + 2 * before[i] - taps) / stride[i] + 1;
    fits = plain && (spread || size + 2 * before[i] >= taps) && out[i + 1] == expected;
    fits = fits && !(spread && (taps != stride[i] || before[i] != 0));
  }
  if (!fits) {
    return invalid("a map " + text(a) + " does not become " + text(out) + " by a kernel " + text(window) +
                   " with padding " + text(before) + " and stride " + text(stride));
  }
  c.sources[0] = {x.typed_data(), a[4]};
  c.sources[1] = {more.typed_data(), b[4]};
  c.batch = a[0];
  c.in = {a[1], a[2], a[3]};
  c.out = {out[1], out[2], out[3]};
  c.window = {window[0], window[1], kernel.blocks ? 1 : window[2]};
  c.before = {before[0], before[1], before[2]};
  c.stride = {stride[0], stride[1], stride[2]};
  c.spread = spread;
  c.features = features;
  c.grouped = true;
  return ffi::Error::Success();
}

// Rows of pixels in a piece of a convolution.
Index rows_of_piece(const Convolution& c) {
  const double row = double(c.out.x) * c.window.product() * c.channels() * c.features;
  return std::clamp<Index>(2 * static_cast<Index>(kPieceProducts / row / 2), 2, c.rows() + 1);  // rows go in pairs
}

// Mean and biased variance of `values` numbers from the sums of pieces and of their squares.
void mean_and_variance(const float* sums, Index pieces, Index padded, Index features, double values, float* mean,
                       float* variance) {
  for (Index d = 0; d < features; ++d) {
    double sum = 0, square = 0;
    for (Index i = 0; i < pieces; ++i) {
      sum += sums[2 * padded * i + d];
      square += sums[2 * padded * i + padded + d];
    }
    const double m = sum / values;
    mean[d] = static_cast<float>(m);
    variance[d] = static_cast<float>(std::max(0.0, square / values - m * m));
  }
}

Kernel describe(const Array& kernel, bool turned, bool blocks) {
  const auto k = kernel.dimensions();
  return {kernel.typed_data(), k[0] * k[1], k[2], k[3], k[4], turned, blocks};
}

// Convolution of one map, or of two that count as one, to one map or to two. A bias, mean and variance may have no
// elements, and the second map no channels: none wanted.
ffi::Error convolve(ffi::ThreadPool pool, Array x, Array more, Array kernel, Array bias, Result out, Result others,
                    Result mean, Result variance, Numbers before, Numbers stride, bool spread, bool turned, bool blocks,
                    bool relu) {
  const auto k = kernel.dimensions(), y = out->dimensions(), z = others->dimensions();
  if (k.size() != 5 || y.size() != 5 || z.size() != 5) return invalid("maps and kernels must have 5 axes.");
  for (int i = 0; i < 4; ++i) {
    if (y[i] != z[i]) return invalid("two maps must differ in channels alone, got " + text(y) + " and " + text(z));
  }
  const Index features = y[4] + z[4];
  for (const Index have : {count(bias), count(*mean), count(*variance)}) {
    if (have != 0 && have != features) {
      return invalid("there must be " + std::to_string(features) + " numbers or none, got " + std::to_string(have));
    }
  }
  if (count(*mean) != count(*variance)) return invalid("mean and variance come together.");
  const Kernel weights = describe(kernel, turned, blocks);
  Convolution c;
  if (auto error = describe(x, more, weights, k, y, features, before, stride, spread, c); error.failure()) {
    return error;
  }
  c.grouped = z[4] == 0;
  return guarded([&] {
    const Kernels& native = kernels();
    const Index rows = c.rows(), piece = rows_of_piece(c), pieces = ceil_div(rows, piece);
    const Index size = ceil_div(native.packed_size(c), 16) * 16;  // the moments begin with a cache line
    const Index moments = count(*mean) ? 2 * native.padded(c.features) : 0;
    float* packed = call_scratch.floats(size + pieces * moments);
    const Index taps = c.window.z * c.window.y;
    if (size < kPieceFloats / 4) {
      native.pack(c, weights, 0, taps, packed);
    } else {
      parallel_for(pool, taps, [&](Index tap) { native.pack(c, weights, tap, tap + 1, packed); });
    }
    const Maps maps{out->typed_data(), others->typed_data(), y[4]};
    const Finish finish{count(bias) ? bias.typed_data() : nullptr, relu};
    const Index scratch = native.convolve_scratch(c);
    parallel_for(pool, pieces, [&](Index i) {
      native.convolve(c, packed, finish, i * piece, std::min(rows, (i + 1) * piece), maps,
                      moments ? packed + size + i * moments : nullptr, piece_scratch.floats(scratch));
    });
    if (moments) {
      mean_and_variance(packed + size, pieces, moments / 2, c.features, double(rows) * c.out.x, mean->typed_data(),
                        variance->typed_data());
    }
  });
}

// The gradients of the kernel and the bias, from the map or the two, and the cotangent of what they became.
ffi::Error kernel_gradient(ffi::ThreadPool pool, Array x, Array more, Array cotangent, Result kernel, Result bias,
                           Numbers before, Numbers stride, bool spread, bool blocks) {
  const auto k = kernel->dimensions(), y = cotangent.dimensions();
  if (k.size() != 5 || y.size() != 5) return invalid("maps and kernels must have 5 axes.");
  if (count(*bias) != y[4]) return invalid("a bias must have as many values as features.");
  const Kernel layout = describe(*kernel, false, blocks);
  Convolution c;
  if (auto error = describe(x, more, layout, k, y, y[4], before, stride, spread, c); error.failure()) return error;
  return guarded([&] {
    const Kernels& native = kernels();
    const Index size = native.part_size(c), block = native.block;
    const Index blocks = ceil_div(c.sources[0].channels, block) + ceil_div(c.sources[1].channels, block);
    Cut cut;
    const Index most = std::min(kPieces, c.rows()), pixels = c.rows() * c.out.x;
    cut.parts = std::clamp<Index>(std::min(kPartFloats / size, pixels / kPartPixels), 1, most);
    cut.groups = std::clamp<Index>(kPieces / cut.parts, 1, blocks);
    float* parts = call_scratch.floats(cut.parts * size);
    const Index scratch = native.gradient_scratch(c);
    parallel_for(pool, cut.parts * cut.groups, [&](Index i) {
      const Index part = i / cut.groups;
      native.gradient(c, cotangent.typed_data(), cut, part, i % cut.groups, parts + part * size,
                      piece_scratch.floats(scratch));
    });
    const Index all = c.window.product() * c.channels();
    const Index pieces = cut.parts * size < kPieceFloats ? 1 : std::min(kPieces, all);
    parallel_for(pool, pieces, [&](Index i) {
      native.add_parts(c, layout, parts, cut.parts, i * all / pieces, (i + 1) * all / pieces, kernel->typed_data(),
                       bias->typed_data());
    });
  });
}

ffi::Error describe(const Array& y, const Array& mean, const Array& scale, const Array& shift, Numbers window,
                    Numbers pooled, Normalisation& n) {
  const auto size = y.dimensions();
  if (size.size() != 5) return invalid("maps must have 5 axes.");
  if (window.size() != 3) return invalid("a window must have 3 numbers.");
  for (const Index have : {count(mean), count(scale), count(shift)}) {
    if (have != size[4]) return invalid("a map " + text(size) + " needs a mean, a scale and a shift for each feature.");
  }
  for (int i = 0; i < 5; ++i) {
    if (size[i] < 1) return invalid("a map must not be empty, got " + text(size));
  }
  n.y = y.typed_data();
  n.batch = size[0];
  n.size = {size[1], size[2], size[3]};
  n.window = {window[0], window[1], window[2]};
  n.features = size[4];
  n.mean = mean.typed_data();
  n.scale = scale.typed_data();
  n.shift = shift.typed_data();
  n.pooled = pooled.size() == 5;
  if (!n.pooled) {
    if (pooled.size() != 1 || pooled[0] != 0) return invalid("a pooled map has 5 axes, or no elements.");
    n.window = {1, 1, 1};
    return ffi::Error::Success();
  }
  for (int i = 0; i < 3; ++i) {
    if (window[i] < 1 || window[i] > 2) return invalid("a window must be 1 or 2 pixels wide, got " + text(window));
  }
  const Extent half = n.pooled_size();
  const bool fits = pooled[0] == n.batch && pooled[1] == half.z && pooled[2] == half.y && pooled[3] == half.x &&
                    pooled[4] == n.features;
  return fits ? ffi::Error::Success() : invalid("a map " + text(size) + " is not pooled to " + text(pooled));
}

Index blocks_of_piece(const Normalisation& n) {
  return std::clamp<Index>(kPieceFloats / (n.window.z * n.window.y * n.size.x * n.features), 1, n.blocks());
}

ffi::Error normalise(ffi::ThreadPool pool, Array y, Array mean, Array scale, Array shift, Result out, Result pooled,
                     Numbers window) {
  Normalisation n;
  if (auto error = describe(y, mean, scale, shift, window, pooled->dimensions(), n); error.failure()) return error;
  if (!same_shape(*out, y)) return invalid("the result must have the shape of the map.");
  return guarded([&] {
    const Index piece = blocks_of_piece(n), blocks = n.blocks();
    parallel_for(pool, ceil_div(blocks, piece), [&](Index i) {
      kernels().normalise(n, i * piece, std::min(blocks, (i + 1) * piece), out->typed_data(), pooled->typed_data());
    });
  });
}

// With r the reciprocal of the standard deviation and gamma the learnt scale: scale = gamma r. The gradients of y,
// gamma and the shift; mean and variance are those of this very map, and take part in the gradient of y.
ffi::Error normalise_gradient(ffi::ThreadPool pool, Array y, Array mean, Array scale, Array shift, Array reciprocal,
                              Array cotangent, Array pooled_cotangent, Result out, Result gamma_gradient,
                              Result shift_gradient, Numbers window) {
  NormalisationGradient g;
  Normalisation& n = g.forward;
  if (auto error = describe(y, mean, scale, shift, window, pooled_cotangent.dimensions(), n); error.failure()) {
    return error;
  }
  if (!same_shape(*out, y) || !same_shape(cotangent, y)) {
    return invalid("the result and the cotangent must have the shape of the map.");
  }
  for (const Index have : {count(reciprocal), count(*gamma_gradient), count(*shift_gradient)}) {
    if (have != n.features) return invalid("there must be one number for each feature.");
  }
  g.cotangent = cotangent.typed_data();
  g.pooled_cotangent = pooled_cotangent.typed_data();
  return guarded([&] {
    const Kernels& native = kernels();
    const Index piece = blocks_of_piece(n), blocks = n.blocks(), pieces = ceil_div(blocks, piece);
    const Index features = n.features;
    float* sums = call_scratch.floats(2 * features * (pieces + 1));
    parallel_for(pool, pieces, [&](Index i) {
      native.gradient_sums(g, i * piece, std::min(blocks, (i + 1) * piece), sums + 2 * features * i);
    });
    float* first = sums + 2 * features * pieces;
    float* second = first + features;
    const double values = double(n.batch) * n.size.product();
    for (Index d = 0; d < features; ++d) {
      double sum = 0, product = 0;
      for (Index i = 0; i < pieces; ++i) {
        sum += sums[2 * features * i + d];
        product += sums[2 * features * i + features + d];
      }
      const double r = reciprocal.typed_data()[d];
      gamma_gradient->typed_data()[d] = static_cast<float>(product * r);
      shift_gradient->typed_data()[d] = static_cast<float>(sum);
      first[d] = static_cast<float>(sum / values);
      second[d] = static_cast<float>(product * r * r / values);
    }
    g.first = first;
    g.second = second;
    parallel_for(pool, pieces, [&](Index i) {
      native.normalise_gradient(g, i * piece, std::min(blocks, (i + 1) * piece), out->typed_data());
    });
  });
}

}  // namespace

#pragma GCC visibility push(default)

XLA_FFI_DEFINE_HANDLER_SYMBOL(tinyunet_convolve, convolve,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<Numbers>("before")
                                  .Attr<Numbers>("stride")
                                  .Attr<bool>("spread")
                                  .Attr<bool>("turned")
                                  .Attr<bool>("blocks")
                                  .Attr<bool>("relu"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(tinyunet_kernel_gradient, kernel_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<Numbers>("before")
                                  .Attr<Numbers>("stride")
                                  .Attr<bool>("spread")
                                  .Attr<bool>("blocks"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(tinyunet_normalise, normalise,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<Numbers>("window"));

XLA_FFI_DEFINE_HANDLER_SYMBOL(tinyunet_normalise_gradient, normalise_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Arg<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Ret<Array>()
                                  .Attr<Numbers>("window"));

extern "C" const char* tinyunet_instruction_set() { return tinyunet::kernels().name; }

#pragma GCC visibility pop

}  // namespace tinyunet
