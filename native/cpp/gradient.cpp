// The gradient of a kernel: C channels x J taps x one vector of features stay in registers, summed over all pixels of
// some rows. A pixel's channel is multiplied by J neighbouring cotangents, so that one broadcast serves J products.
// Where a pixel has fewer features than a vector, a vector of cotangents holds several pixels: as many taps at once.
#include <array>
#include <utility>

#include "build.h"

namespace tinyunet::TINYUNET_NAME {
namespace {

constexpr int kMaxTaps = 3;              // along a row
constexpr Index kBandFloats = 32 << 10;  // cotangents packed at a time: they and their inputs stay in the cache

// sums[j][c] += x[pixel][c] * g[j steps after the pixel], over all pixels of the rows, for one vector of features.
template <int C, int J>
void outer(const float* x, Index x_row, Index x_step, const float* g, Index g_row, Index g_step, Index ahead,
           Index rows, Index pixels, float* sums, Index tap_stride, Index channel_stride) {
  Vec sum[J][C] = {};
  for (Index row = 0; row < rows; ++row) {
    const float* a = x + row * x_row;
    const float* b = g + row * g_row;
    for (Index pixel = 0; pixel < pixels; ++pixel, a += x_step, b += g_step) {
      Vec cotangent[J];
#pragma GCC unroll 4
      for (int j = 0; j < J; ++j) cotangent[j] = load(b + j * ahead);
#pragma GCC unroll 16
      for (int c = 0; c < C; ++c) {
        const Vec value = splat(a[c]);
#pragma GCC unroll 4
        for (int j = 0; j < J; ++j) sum[j][c] += value * cotangent[j];
      }
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < J; ++j) {
#pragma GCC unroll 16
    for (int c = 0; c < C; ++c) {
      float* to = sums + j * tap_stride + c * channel_stride;
      store(to, load(to) + sum[j][c]);
    }
  }
}

using Outer = void (*)(const float*, Index, Index, const float*, Index, Index, Index, Index, Index, float*, Index, Index);

template <int J, int... C>
constexpr std::array<Outer, sizeof...(C)> outers(std::integer_sequence<int, C...>) {
  return {outer<C + 1, J>...};
}

// By the number of taps and of channels, each from 1.
constexpr std::array<std::array<Outer, kChannels>, kMaxTaps> kOuters = {
    outers<1>(std::make_integer_sequence<int, kChannels>()),
    outers<2>(std::make_integer_sequence<int, kChannels>()),
    outers<3>(std::make_integer_sequence<int, kChannels>()),
};

// Zeros on both sides of a row of cotangents, so that every tap of every pixel finds one.
Index margin(const Convolution& c) { return c.window.x - 1 - c.before.x; }

// Taps that share a vector.
Index taps_of_vector(const Convolution& c) {
  return c.window.x > 1 && c.features < kWidth && kWidth % c.features == 0 ? kWidth / c.features : 1;
}

// Vectors of taps in a row of them.
Index steps(const Convolution& c) { return ceil_div(c.window.x, taps_of_vector(c)); }

// Floats from a packed cotangent to the next.
Index pixel_size(const Convolution& c) { return taps_of_vector(c) > 1 ? c.features : padded(c.features); }

// Floats of a packed row of cotangents; a group reaches beyond the last.
Index row_size(const Convolution& c) {
  return (c.out.x + 2 * margin(c) + steps(c) * taps_of_vector(c) - c.window.x) * pixel_size(c);
}

Index band_rows(const Convolution& c) { return within(kBandFloats / row_size(c), 1, c.out.y); }

// One row of cotangents with zeros around it and up to whole vectors; adds its sum to `bias`, unless that is null.
void pack_row(const Convolution& c, const float* from, float* to, float* bias) {
  const Index size = pixel_size(c), side = margin(c) * size, all = c.out.x * size;
  clear(to, side);
  if (c.features == size) {
    copy(to + side, from, all);
  } else {
    for (Index p = 0; p < c.out.x; ++p) {
      copy(to + side + p * size, from + p * c.features, c.features);
      clear(to + side + p * size + c.features, size - c.features);
    }
  }
  clear(to + side + all, row_size(c) - side - all);
  if (!bias) return;
  if (taps_of_vector(c) == 1) {
    for (Index v = 0; v < size; v += kWidth) {
      Vec sum{};
      for (Index i = v; i < all; i += size) sum += load(to + side + i);
      store(bias + v, load(bias + v) + sum);
    }
    return;
  }
  Vec sum{};
  Index i = 0;
  for (; i + kWidth <= all; i += kWidth) sum += load(to + side + i);
  for (Index lane = 0; lane < kWidth; ++lane) bias[lane % size] += sum[lane];
  for (; i < all; ++i) bias[i % size] += to[side + i];
}

// The rows of a band of cotangents that have a row of the input under a tap: the first input row, counted in its
// volume, the first cotangent's, counted in the band, how many, and how far apart they are.
struct Rows {
  Index x, g, count, x_step, g_step;
};

Rows rows_under(const Convolution& c, Index z, Index tz, Index y, Index rows, Index ty) {
  const Index step = c.stride.y;
  if (c.spread) {
    if ((z - tz) % c.stride.z != 0) return {};
    const Index skip = ((ty - y) % step + step) % step;
    return {(z - tz) / c.stride.z * c.in.y + (y + skip) / step, skip, ceil_div(most(rows - skip, 0), step), 1, step};
  }
  const Index iz = z * c.stride.z + tz - c.before.z, shift = ty - c.before.y;
  if (iz < 0 || iz >= c.in.z) return {};
  const Index from = most(y, shift < 0 ? ceil_div(-shift, step) : 0);
  const Index to = least(y + rows, c.in.y > shift ? ceil_div(c.in.y - shift, step) : 0);
  return {iz * c.in.y + from * step + shift, from - y, to - from, step, 1};
}

// Some neighbouring channels of one source.
struct Channels {
  const Source* source;
  Index from, at, count;  // in the source, in the kernel
};

// One of the blocks of channels, counted through both sources.
Channels block_of(const Convolution& c, Index block) {
  const Index blocks = ceil_div(c.sources[0].channels, kChannels);
  const bool second = block >= blocks;
  const Source& source = c.sources[second];
  const Index from = (block - (second ? blocks : 0)) * kChannels;
  return {&source, from, from + (second ? c.sources[0].channels : 0), least(kChannels, source.channels - from)};
}

}  // namespace

void outer_products(const float* x, Index channels, const float* g, Index wide, Index count, float* sums) {
  const Index vectors = wide / kWidth, steps = ceil_div(vectors, kMaxTaps);
  for (Index step = 0; step < steps; ++step) {
    const Index v = step * vectors / steps, have = (step + 1) * vectors / steps - v;
    for (Index i = 0; i < channels; i += kChannels) {
      kOuters[have - 1][least(kChannels, channels - i) - 1](x + i, 0, channels, g + v * kWidth, 0, wide, kWidth, 1,
                                                            count, sums + i * wide + v * kWidth, kWidth, wide);
    }
  }
}

// Layout of a part: rows of taps, vectors of taps in the row, channels, features; then the gradient of the bias.
Index part_size(const Convolution& c) {
  if (winograd_for_gradient(c)) return winograd_part_size(c);
  return (c.window.z * c.window.y * steps(c) * c.channels() + 1) * padded(c.features);
}

Index gradient_scratch(const Convolution& c) {
  if (winograd_for_gradient(c)) return winograd_gradient_scratch(c);
  return band_rows(c) * row_size(c);
}

void gradient(const Convolution& c, const float* cotangent, const Cut& cut, Index part, Index group, float* sums,
              float* scratch) {
  if (winograd_for_gradient(c)) return winograd_gradient(c, cotangent, cut, part, group, sums, scratch);
  const Index wide = padded(c.features), step_stride = c.channels() * wide, packed_row = row_size(c);
  const Index size = pixel_size(c), vectors = steps(c), taps = c.window.z * c.window.y * vectors;
  const Index ahead = size * taps_of_vector(c);
  const Index all = ceil_div(c.sources[0].channels, kChannels) + ceil_div(c.sources[1].channels, kChannels);
  const Index low = group * all / cut.groups, high = (group + 1) * all / cut.groups;
  float* bias = group == 0 ? sums + taps * step_stride : nullptr;
  if (bias) clear(bias, wide);
  for (Index block = low; block < high; ++block) {
    const Channels channels = block_of(c, block);
    for (Index tap = 0; tap < taps; ++tap) {
      clear(sums + tap * step_stride + channels.at * wide, channels.count * wide);
    }
  }
  const Index last = (part + 1) * c.rows() / cut.parts, most_rows = band_rows(c);
  for (Index row = part * c.rows() / cut.parts; row < last;) {
    const Index y = row % c.out.y, z = row / c.out.y % c.out.z, b = row / (c.out.y * c.out.z);
    const Index rows = least(least(most_rows, c.out.y - y), last - row);
    for (Index r = 0; r < rows; ++r) {
      pack_row(c, cotangent + (row + r) * c.out.x * c.features, scratch + r * packed_row, bias);
    }
    for (Index tz = 0; tz < c.window.z; ++tz) {
      for (Index ty = 0; ty < c.window.y; ++ty) {
        const Rows under = rows_under(c, z, tz, y, rows, ty);
        if (under.count <= 0) continue;
        float* tap = sums + (tz * c.window.y + ty) * vectors * step_stride;
        for (Index block = low; block < high; ++block) {
          const Channels channels = block_of(c, block);
          const Index x_row = c.in.x * channels.source->channels;
          const Outer function = kOuters[vectors - 1][channels.count - 1];
          const float* x = channels.source->data + (b * c.in.z * c.in.y + under.x) * x_row + channels.from;
          for (Index v = 0; v < wide; v += kWidth) {
            function(x, under.x_step * x_row, channels.source->channels, scratch + under.g * packed_row + v,
                     under.g_step * packed_row, size, ahead, under.count, c.in.x, tap + channels.at * wide + v,
                     step_stride, wide);
          }
        }
      }
    }
    row += rows;
  }
}

void add_parts(const Convolution& c, const Kernel& layout, const float* parts, Index count, Index first, Index last,
               float* kernel, float* bias) {
  if (winograd_for_gradient(c)) return winograd_add_parts(c, layout, parts, count, first, last, kernel, bias);
  const Index wide = padded(c.features), size = part_size(c), channels = c.channels(), members = taps_of_vector(c);
  float sum[kWidth];
  const auto add = [&](const float* from, Index lanes) {
    copy(sum, from, lanes);
    for (Index part = 1; part < count; ++part) {
      from += size;
      for (Index d = 0; d < lanes; ++d) sum[d] += from[d];
    }
  };
  for (Index v = 0; v < c.features; v += kWidth) {
    const Index lanes = least(kWidth, c.features - v);
    for (Index row = first; row < last; ++row) {
      const Index tap = row / channels, channel = row % channels, back = c.window.x - 1 - tap % c.window.x;
      const Index vector = tap / c.window.x * steps(c) + back / members;
      add(parts + (vector * channels + channel) * wide + back % members * c.features + v, lanes);
      for (Index d = 0; d < lanes; ++d) {
        kernel[layout.at(tap / c.window.x, tap % c.window.x, channel, v + d)] = sum[d];
      }
    }
    if (last == c.window.product() * channels) {
      add(parts + size - wide + v, lanes);
      copy(bias + v, sum, lanes);
    }
  }
}

}  // namespace tinyunet::TINYUNET_NAME
