// Convolution: P pixels x V vectors of features stay in registers. For every vector of weights, P pixels are multiplied
// by it. A row of taps over a row of pixels is one contiguous run of window * channels floats, so nothing is rearranged;
// only where a tile reaches over the border is it copied, with zeros around it.
//
// Where a pixel has fewer features than a vector, several neighbouring pixels share one: their kernel is the kernel
// shifted by one pixel for each, and zero elsewhere. For 8 features in a vector of 16 that is two pixels under a window
// of four, which wastes a quarter of the arithmetic where half of each vector would be wasted.
//
// Register tiles after Goto and van de Geijn (2008), Anatomy of high-performance matrix multiplication.
#include <array>
#include <limits>
#include <utility>

#include "build.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

// Of 32 registers (AVX-512, NEON) or 16 (AVX2, SSE) the tiles leave room for weights and a broadcast.
constexpr int kPixels[kMaxVectors + 1] = {0, kManyRegisters ? 24 : 11, kManyRegisters ? 12 : 6};
constexpr int kMaxRows = 2 * 3 * 3;  // sources, taps in depth, taps in height
constexpr int kMaxShared = 3;        // taps
constexpr int kMaxRuns = 2 * kMaxRows;  // where taps are shared a group has two pixels, or is one

// V vectors of features of P neighbouring pixels, or groups of them, by S taps at a time: a pixel that S of them look
// at is loaded once.
template <int P, int V, int S>
void dot(const Run* runs, int count, const float* packed, const Target& to) {
  Vec sums[P][V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const Vec start = load(to.bias + v * kWidth);
#pragma GCC unroll 32
    for (int p = 0; p < P; ++p) sums[p][v] = start;
  }
  for (int i = 0; i < count; ++i) {
    const Index step = runs[i].stride, tap = runs[i].tap * V * kWidth;
    const float* w = packed + runs[i].weights * V * kWidth;
    const float* x[(P + S + 2) / 4];  // four pixels each, within reach of one address
    for (int g = 0; g < (P + S + 2) / 4; ++g) x[g] = runs[i].x + 4 * g * step;
    for (Index k = 0; k < runs[i].length; ++k) {
      Vec weights[S][V];
#pragma GCC unroll 4
      for (int s = 0; s < S; ++s) {
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) weights[s][v] = load(w + s * tap + v * kWidth);
      }
#pragma GCC unroll 32
      for (int q = 0; q < P + S - 1; ++q) {
        const Vec pixel = splat(x[q / 4][(q % 4) * step + k]);
#pragma GCC unroll 4
        for (int s = 0; s < S; ++s) {
          if (q < s || q - s >= P) continue;
#pragma GCC unroll 4
          for (int v = 0; v < V; ++v) sums[q - s][v] += pixel * weights[s][v];
        }
      }
      w += V * kWidth;
    }
  }
  if (to.moments) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec sum{}, square{};
#pragma GCC unroll 32
      for (int p = 0; p < P; ++p) {
        sum += sums[p][v];
        square += sums[p][v] * sums[p][v];
      }
      float* moments = to.moments + v * kWidth;
      store(moments, load(moments) + sum);
      store(moments + to.squares, load(moments + to.squares) + square);
    }
  }
  const Vec least = splat(to.least);
  float* out = to.whole ? to.out : to.buffer;
  const Index stride = to.whole ? to.stride : V * kWidth;
#pragma GCC unroll 32
  for (int p = 0; p < P; ++p) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) store(out + p * stride + v * kWidth, sums[p][v] < least ? least : sums[p][v]);
  }
}

using Dot = void (*)(const Run*, int, const float*, const Target&);

template <int V, int S, int... P>
constexpr std::array<Dot, sizeof...(P)> dots(std::integer_sequence<int, P...>) {
  return {dot<P + 1, V, S>...};
}

template <int V>
constexpr std::array<std::array<Dot, kPixels[V]>, kMaxShared> dots_of() {
  constexpr std::make_integer_sequence<int, kPixels[V]> pixels;
  return {dots<V, 1>(pixels), dots<V, 2>(pixels), dots<V, 3>(pixels)};
}

// By the taps that share a pixel and the number of pixels, each from 1.
constexpr auto kDots1 = dots_of<1>();
constexpr auto kDots2 = dots_of<2>();

// Pixels that share a vector.
Index group(const Convolution& c) {
  const bool gains = c.grouped && c.window.x > 1 && c.features < kWidth && kWidth % c.features == 0;
  return gains && c.out.x % (kWidth / c.features) == 0 ? kWidth / c.features : 1;
}

Index vectors(const Convolution& c) { return ceil_div(c.features, kWidth); }

// Pixels of a row that one group looks at.
Index group_window(const Convolution& c) { return c.window.x + group(c) - 1; }

// Taps that look at the same pixels, for different groups. There must be registers for their weights.
int shared(const Convolution& c) {
  const Index pixels = group(c), taps = group_window(c) / pixels;
  const bool room = kManyRegisters || vectors(c) == 1;
  return room && group_window(c) % pixels == 0 && taps <= kMaxShared ? static_cast<int>(taps) : 1;
}

// Rows of the packed kernel, for every vector.
Index packed_depth(const Convolution& c) { return c.window.z * c.window.y * group_window(c) * c.channels(); }

int pixels_at_once(const Convolution& c) { return kPixels[tile_vectors(vectors(c), 0)]; }

// The row of the input under a tap, along one axis; -1 where there is none.
Index under(Index out, Index tap, Index before, Index stride, bool spread, Index size) {
  Index at = out * stride + tap - before;
  if (spread) {
    if ((out - tap) % stride != 0) return -1;
    at = (out - tap) / stride;
  }
  return at >= 0 && at < size ? at : -1;
}

// A row of one source under a row of taps.
struct Row {
  const float* x;  // the first pixel
  Index channels, weights;
};

// What one row of the result looks at.
int rows_under(const Convolution& c, Index row, Row* rows) {
  const Index y = row % c.out.y, z = row / c.out.y % c.out.z, b = row / (c.out.y * c.out.z);
  int count = 0;
  for (Index tz = 0; tz < c.window.z; ++tz) {
    const Index iz = under(z, tz, c.before.z, c.stride.z, c.spread, c.in.z);
    if (iz < 0) continue;
    for (Index ty = 0; ty < c.window.y; ++ty) {
      const Index iy = under(y, ty, c.before.y, c.stride.y, c.spread, c.in.y);
      if (iy < 0) continue;
      Index weights = (tz * c.window.y + ty) * group_window(c) * c.channels();
      for (const Source& source : c.sources) {
        if (source.channels == 0) continue;
        const float* x = source.data + ((b * c.in.z + iz) * c.in.y + iy) * c.in.x * source.channels;
        rows[count++] = {x, source.channels, weights};
        weights += group_window(c) * source.channels;
      }
    }
  }
  return count;
}

// Copies pixels [first, first + count) of a row of `size`, zeros outside it.
void copy_padded(const float* row, Index size, Index channels, Index first, Index count, float* to) {
  const Index low = within(-first, 0, count), high = within(size - first, low, count);
  clear(to, low * channels);
  if (high > low) copy(to + low * channels, row + (first + low) * channels, (high - low) * channels);
  clear(to + high * channels, (count - high) * channels);
}

// What a tile of `pixels` groups from group p on looks at; where it looks over the border, a copy with zeros.
int runs_of_tile(const Convolution& c, const Row* rows, int count, Index p, Index pixels, float* borders, Run* runs) {
  const Index members = group(c), from = p * members - c.before.x, wide = pixels * members + c.window.x - 1;
  const bool inside = from >= 0 && from + wide <= c.in.x, sharing = shared(c) > 1;
  int all = 0;
  for (const Row* row = rows; row < rows + count; ++row) {
    const float* x = row->x + from * row->channels;
    if (!inside) {
      copy_padded(row->x, c.in.x, row->channels, from, wide, borders);
      x = borders;
      borders += wide * row->channels;
    }
    const Index stride = members * row->channels;
    if (!sharing) {
      runs[all++] = {x, stride, group_window(c) * row->channels, row->weights, 0};
      continue;
    }
    // A run for each pixel of a group: taps that are a group apart look at the same pixels.
    for (Index skip = 0; skip < stride; skip += row->channels) {
      runs[all++] = {x + skip, stride, row->channels, row->weights + skip, stride};
    }
  }
  return all;
}

}  // namespace

int tile_vectors(Index all, Index v) { return static_cast<int>(least(kMaxVectors, all - v)); }

int pixels_of_tile(int vectors) { return kPixels[vectors]; }

void dot_runs(int pixels, int vectors, int shared, const Run* runs, int count, const float* packed, const Target& to) {
  const Dot function = vectors == 1 ? kDots1[shared - 1][pixels - 1] : kDots2[shared - 1][pixels - 1];
  function(runs, count, packed, to);
}

void scatter(const float* tile, Index wide, Index pixels, Index start, Index lanes, const Maps& maps, Index others) {
  const Index first = within(maps.split - start, 0, lanes), skip = most(start - maps.split, 0);
  for (Index p = 0; p < pixels; ++p) {
    const float* from = tile + p * wide;
    if (first) copy(maps.first + p * maps.split + start, from, first);
    if (lanes > first) copy(maps.second + p * others + skip, from + first, lanes - first);
  }
}

Index padded(Index features) { return ceil_div(features, kWidth) * kWidth; }

Index packed_size(const Convolution& c) {
  if (winograd(c)) return winograd_packed_size(c);
  return padded(c.features) * packed_depth(c);
}

// Layout: for every tile of vectors, rows of taps, sources, taps in the row, channels, the tile's features.
void pack(const Convolution& c, const Kernel& kernel, Index first, Index last, float* packed) {
  if (winograd(c)) return winograd_pack(c, kernel, first, last, packed);
  const Index all = vectors(c), depth = packed_depth(c), members = group(c), wide = group_window(c);
  for (Index v = 0; v < all;) {
    const Index tile = tile_vectors(all, v), start = v * kWidth, lanes = tile * kWidth;
    const Index have = least(lanes, c.features - start);
    float* to = packed + start * depth + first * wide * c.channels() * lanes;
    clear(to, (last - first) * wide * c.channels() * lanes);
    for (Index row = first; row < last; ++row) {
      Index offset = 0;
      for (const Source& source : c.sources) {
        for (Index tap = 0; tap < c.window.x; ++tap) {
          for (Index i = 0; i < source.channels; ++i) {
            float* weights = to + (tap * source.channels + i) * lanes;
            if (!kernel.turned && !kernel.blocks) {
              copy(weights, kernel.data + kernel.at(row, tap, offset + i, start), have);
            } else {
              for (Index d = 0; d < have; ++d) weights[d] = kernel.data[kernel.at(row, tap, offset + i, start + d)];
            }
            // The other pixels of a group see the same kernel further on.
            for (Index member = 1; member < members; ++member) {
              copy(weights + member * (source.channels * lanes + have), weights, have);
            }
          }
        }
        to += wide * source.channels * lanes;
        offset += source.channels;
      }
    }
    v += tile;
  }
}

Index convolve_scratch(const Convolution& c) {
  if (winograd(c)) return winograd_scratch(c);
  const Index borders = c.window.z * c.window.y * (pixels_at_once(c) * group(c) + c.window.x - 1) * c.channels();
  return padded(c.features) + kPixels[1] * kMaxVectors * kWidth + borders;
}

void convolve(const Convolution& c, const float* packed, const Finish& finish, Index first, Index last, const Maps& out,
              float* moments, float* scratch) {
  if (winograd(c)) return winograd_convolve(c, packed, finish, first, last, out, moments, scratch);
  const Index all = vectors(c), depth = packed_depth(c), squares = padded(c.features), members = group(c);
  const Index groups = c.out.x / members, tiles = ceil_div(groups, pixels_at_once(c));
  const Index features = c.features * members, split = members > 1 ? features : out.split, others = features - split;
  float *bias = scratch, *buffer = bias + squares, *borders = buffer + kPixels[1] * kMaxVectors * kWidth;
  clear(bias, squares);
  for (Index i = 0; finish.bias && i < features; ++i) bias[i] = finish.bias[i % c.features];
  if (moments) clear(moments, 2 * squares);
  const float least_value = finish.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  const int taps = shared(c);
  Row rows[kMaxRows];
  Run runs[kMaxRuns];
  for (Index row = first; row < last; ++row) {
    const int count = rows_under(c, row, rows);
    for (Index tile = 0; tile < tiles; ++tile) {
      const Index p = tile * groups / tiles, pixels = (tile + 1) * groups / tiles - p;
      const int all_runs = runs_of_tile(c, rows, count, p, pixels, borders, runs);
      float* to_first = out.first + (row * groups + p) * split;
      float* to_second = out.second + (row * groups + p) * others;
      for (Index v = 0; v < all;) {
        const int tile_v = tile_vectors(all, v);
        const Index start = v * kWidth, wide = tile_v * kWidth, lanes = least(wide, features - start);
        const bool in_first = start + lanes <= split, in_second = start >= split;
        const Target to = {in_first ? to_first + start : to_second + start - split,
                           in_first ? split : others,
                           lanes == wide && (in_first || in_second),
                           buffer,
                           bias + start,
                           moments ? moments + start : nullptr,
                           squares,
                           least_value};
        dot_runs(static_cast<int>(pixels), tile_v, taps, runs, all_runs, packed + start * depth, to);
        if (!to.whole) scatter(buffer, wide, pixels, start, lanes, {to_first, to_second, split}, others);
        v += tile_v;
      }
    }
  }
  for (Index i = c.features; moments && i < features; ++i) {
    moments[i % c.features] += moments[i];
    moments[squares + i % c.features] += moments[squares + i];
  }
}

}  // namespace tinyunet::TINYUNET_NAME
