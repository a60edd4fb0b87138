// What Winograd's convolution and the gradient of its kernel share. Tiles of 4x4 inputs, which overlap by two, become
// 4x4 points, channel by channel: B' d B.
#pragma once

#include "build.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

constexpr Index kSide = 4;  // points in a row, and rows of them
constexpr Index kPoints = kSide * kSide;
constexpr Index kApart = 16;  // floats more from a point to the next, so that they do not compete for cache lines

// What tiles side by side look at: four rows of a source, from column `from` on, which may lie outside the map.
struct Window {
  const float* rows[4];
  Index from, columns;
  Index channels;
};

// Floats that tiles side by side look at, in a row of the larger source: zeros for a row outside the map.
inline Index zeros_under(const Convolution& c, Index tiles) {
  return (2 * tiles + 2) * most(c.sources[0].channels, c.sources[1].channels);
}

inline Window window_of(const Convolution& c, const Source& source, Index plane, Index y, Index from,
                        const float* zeros) {
  Window window{{}, from, c.in.x, source.channels};
  for (Index r = 0; r < 4; ++r) {
    const Index iy = y + r - c.before.y;
    const bool there = iy >= 0 && iy < c.in.y;
    window.rows[r] = there ? source.data + ((plane * c.in.y + iy) * c.in.x + from) * source.channels : zeros;
  }
  return window;
}

// Rows [First, Last) of the points, for channels [low, high) of the window's. The results of a point are `point` floats
// apart, those of a tile `tile`.
template <int N, int First, int Last>
void transform_input(const Window& window, Index low, Index high, Index tiles, float* to, Index point, Index tile) {
  using V = Vector<N>;
  constexpr int kPlus[] = {0, 1, 2, 1}, kOther[] = {2, 2, 1, 3};
  for (Index t = 0; t < tiles; ++t) {
    const Index x = window.from + 2 * t;
    const bool inside = x >= 0 && x + 4 <= window.columns;
    for (Index i = low; i < high; i += N) {
      V d[4][4];
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) {
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
          const bool there = inside || (x + q >= 0 && x + q < window.columns);
          d[r][q] = there ? load<N>(window.rows[r] + (2 * t + q) * window.channels + i) : V{};
        }
      }
      float* out = to + t * tile + i - low;
#pragma GCC unroll 4
      for (int r = First; r < Last; ++r) {
        V e[4];
#pragma GCC unroll 4
        for (int q = 0; q < 4; ++q) {
          const V plus = d[kPlus[r]][q], other = d[kOther[r]][q];
          e[q] = r == 1 ? plus + other : plus - other;
        }
        store(out, e[0] - e[2]);
        store(out + point, e[1] + e[2]);
        store(out + 2 * point, e[2] - e[1]);
        store(out + 3 * point, e[1] - e[3]);
        out += kSide * point;
      }
    }
  }
}

}  // namespace
}  // namespace tinyunet::TINYUNET_NAME
