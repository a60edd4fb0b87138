// Convolution by Winograd's minimal filtering F(2x2, 3x3): a tile of 2x2 results takes 16 products for each channel and
// feature instead of 36. Tiles of 4x4 inputs are transformed, channel by channel; at each of their 16 points a matrix
// product over the channels takes the place of the window; its results are transformed back.
//
// With matrices of 0, 1, 1/2 and their negatives only, so that rounding grows little. Lavin and Gray (2016), Fast
// algorithms for convolutional neural networks, section 4.1.
#include <limits>

#include "winograd.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

constexpr Index kTiles = 24;  // transformed at a time
constexpr Index kLeast = 512;  // channels times features from which on the products outweigh the transformations

// Floats from the transformed inputs of a point to those of the next, and of one tap in depth.
Index input_point(const Convolution& c) { return kTiles * c.channels() + kApart; }
Index inputs_size(const Convolution& c) { return kPoints * input_point(c); }

// Floats from the products of a point to those of the next, for so many vectors.
constexpr Index product_point(int vectors) { return kTiles * vectors * kWidth + kApart; }

// What becomes of the results of one tile of vectors.
struct Back {
  const float* bias;
  float least;
  float* out[2];  // the two rows
  Index stride;   // from a pixel to the next
  float* moments;
  Index squares;
};

// V vectors of features of every tile, from the 16 points' products (points, kTiles, V vectors).
template <int V>
void transform_output(const float* products, Index tiles, const Back& to) {
  constexpr Index wide = V * kWidth, point = product_point(V);
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) {
    const Vec bias = load(to.bias + v * kWidth), least = splat(to.least);
    Vec sum{}, square{};
    for (Index t = 0; t < tiles; ++t) {
      const float* from = products + t * wide + v * kWidth;
      Vec a[2][4];
#pragma GCC unroll 4
      for (int q = 0; q < 4; ++q) {
        const Vec m0 = load(from + q * point), m1 = load(from + (4 + q) * point);
        const Vec m2 = load(from + (8 + q) * point), m3 = load(from + (12 + q) * point);
        a[0][q] = m0 + m1 + m2;
        a[1][q] = m1 - m2 - m3;
      }
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        const Vec left = bias + (a[r][0] + a[r][1] + a[r][2]), right = bias + (a[r][1] - a[r][2] - a[r][3]);
        sum += left + right;
        square += left * left + right * right;
        float* out = to.out[r] + 2 * t * to.stride + v * kWidth;
        store(out, left < least ? least : left);
        store(out + to.stride, right < least ? least : right);
      }
    }
    if (to.moments) {
      float* moments = to.moments + v * kWidth;
      store(moments, load(moments) + sum);
      store(moments + to.squares, load(moments + to.squares) + square);
    }
  }
}

Index vectors(const Convolution& c) { return padded(c.features) / kWidth; }

}  // namespace

bool winograd(const Convolution& c) {
  const bool plain = c.stride.y == 1 && c.stride.z == 1 && !c.spread && c.window.y == 3 && c.window.x == 3;
  const bool whole = c.out.y % 2 == 0 && c.out.x % 2 == 0;
  const bool vectors = c.sources[0].channels % 4 == 0 && c.sources[1].channels % 4 == 0;
  return plain && whole && vectors && c.channels() * c.features >= kLeast;
}

Index winograd_packed_size(const Convolution& c) {
  return padded(c.features) * kPoints * c.window.z * c.channels();
}

// Layout: for every tile of vectors, points, taps in depth, channels, the tile's features. Of the taps [first, last) of
// all of them, the same share of the channels.
void winograd_pack(const Convolution& c, const Kernel& kernel, Index first, Index last, float* packed) {
  const Index all = vectors(c), channels = c.channels(), rows = c.window.z * c.window.y, depth = c.window.z * channels;
  const Index low = first * channels / rows, high = last * channels / rows;
  for (Index v = 0; v < all;) {
    const Index tile = tile_vectors(all, v), start = v * kWidth, lanes = tile * kWidth;
    const Index have = least(lanes, c.features - start);
    float* to = packed + start * kPoints * depth;
    for (Index tz = 0; tz < c.window.z; ++tz) {
      for (Index i = low; i < high; ++i) {
        float g[3][3][kMaxVectors * kWidth] = {};
        for (Index y = 0; y < 3; ++y) {
          for (Index x = 0; x < 3; ++x) {
            for (Index d = 0; d < have; ++d) g[y][x][d] = kernel.data[kernel.at(tz * 3 + y, x, i, start + d)];
          }
        }
        for (Index d = 0; d < lanes; d += kWidth) {
          Vec e[4][3];
          for (int x = 0; x < 3; ++x) {
            const Vec up = load(g[0][x] + d), middle = load(g[1][x] + d), down = load(g[2][x] + d);
            e[0][x] = up;
            e[1][x] = 0.5f * (up + middle + down);
            e[2][x] = 0.5f * (up - middle + down);
            e[3][x] = down;
          }
          for (int r = 0; r < 4; ++r) {
            const Vec u[4] = {e[r][0], 0.5f * (e[r][0] + e[r][1] + e[r][2]), 0.5f * (e[r][0] - e[r][1] + e[r][2]),
                              e[r][2]};
            for (int q = 0; q < 4; ++q) store(to + (((4 * r + q) * c.window.z + tz) * channels + i) * lanes + d, u[q]);
          }
        }
      }
    }
    v += tile;
  }
}

Index winograd_scratch(const Convolution& c) {
  const Index products = kPoints * product_point(kMaxVectors), buffer = 2 * 2 * kTiles * kMaxVectors * kWidth;
  return 2 * padded(c.features) + zeros_under(c, kTiles) + c.window.z * inputs_size(c) + products + buffer;
}

void winograd_convolve(const Convolution& c, const float* packed, const Finish& finish, Index first, Index last,
                       const Maps& out, float* moments, float* scratch) {
  const Index all = vectors(c), squares = padded(c.features), channels = c.channels();
  const Index others = c.features - out.split, tiles_in_row = c.out.x / 2, blocks = ceil_div(tiles_in_row, kTiles);
  float *bias = scratch, *no_bias = bias + squares, *zeros = no_bias + squares;
  float* inputs = zeros + zeros_under(c, kTiles);
  float* products = inputs + c.window.z * inputs_size(c);
  float* buffer = products + kPoints * product_point(kMaxVectors);
  clear(bias, 2 * squares + zeros_under(c, kTiles));
  if (finish.bias) copy(bias, finish.bias, c.features);
  if (moments) clear(moments, 2 * squares);
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  for (Index row = first; row < last; row += 2) {
    const Index y = row % c.out.y, z = row / c.out.y % c.out.z, b = row / (c.out.y * c.out.z);
    for (Index block = 0; block < blocks; ++block) {
      const Index t = block * tiles_in_row / blocks, tiles = (block + 1) * tiles_in_row / blocks - t;
      Index taps[3], taps_count = 0;
      for (Index tz = 0; tz < c.window.z; ++tz) {
        const Index iz = z + tz - c.before.z;
        if (iz < 0 || iz >= c.in.z) continue;
        float* to = inputs + taps_count * inputs_size(c);
        taps[taps_count++] = tz;
        for (const Source& source : c.sources) {
          if (source.channels == 0) continue;
          const Window window = window_of(c, source, b * c.in.z + iz, y, 2 * t - c.before.x, zeros);
          with_lanes(source.channels, [&](auto lanes) {
            transform_input<lanes_of(decltype(lanes)()), 0, 4>(window, 0, source.channels, tiles, to, input_point(c),
                                                               channels);
          });
          to += source.channels;
        }
      }
      for (Index v = 0; v < all;) {
        const int tile_v = tile_vectors(all, v);
        const Index start = v * kWidth, wide = tile_v * kWidth, lanes = least(wide, c.features - start);
        const float* weights = packed + start * kPoints * c.window.z * channels;
        for (Index point = 0; point < kPoints; ++point) {
          for (Index r = 0; r < 2 && v == 0; ++r) {
            const Index line = (row + r) * c.out.x + 2 * t;
            const Index low = line + 2 * tiles * point / kPoints, high = line + 2 * tiles * (point + 1) / kPoints;
            expect(out.first + low * out.split, (high - low) * out.split);
            expect(out.second + low * others, (high - low) * others);
          }
          const Index most_pixels = pixels_of_tile(tile_v), parts = ceil_div(tiles, most_pixels);
          for (Index part = 0; part < parts; ++part) {
            const Index p = part * tiles / parts, pixels = (part + 1) * tiles / parts - p;
            Run runs[3];
            for (Index i = 0; i < taps_count; ++i) {
              const float* x = inputs + i * inputs_size(c) + point * input_point(c) + p * channels;
              runs[i] = {x, channels, channels, (point * c.window.z + taps[i]) * channels, 0};
            }
            float* product = products + point * product_point(tile_v) + p * wide;
            dot_runs(static_cast<int>(pixels), tile_v, 1, runs, static_cast<int>(taps_count), weights,
                     {product, wide, true, nullptr, no_bias, nullptr, 0, nothing});
          }
        }
        const bool in_first = start + lanes <= out.split, in_second = start >= out.split;
        const bool whole = lanes == wide && (in_first || in_second);
        Back back{bias + start, finish.relu ? 0.0f : nothing, {}, wide, moments ? moments + start : nullptr, squares};
        float *to_first[2], *to_second[2];
        for (Index r = 0; r < 2; ++r) {
          const Index pixel = (row + r) * c.out.x + 2 * t;
          to_first[r] = out.first + pixel * out.split;
          to_second[r] = out.second + pixel * others;
          back.out[r] = !whole ? buffer + r * 2 * kTiles * wide
                               : in_first ? to_first[r] + start : to_second[r] + start - out.split;
        }
        if (whole) back.stride = in_first ? out.split : others;
        if (tile_v == 1) transform_output<1>(products, tiles, back);
        if (tile_v == 2) transform_output<2>(products, tiles, back);
        for (Index r = 0; r < 2 && !whole; ++r) {
          scatter(back.out[r], wide, 2 * tiles, start, lanes, {to_first[r], to_second[r], out.split}, others);
        }
        v += tile_v;
      }
    }
  }
}


}  // namespace tinyunet::TINYUNET_NAME
